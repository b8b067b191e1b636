"""Which machines are checked: those whose folders the option or the environment names.

A test that takes ``machine`` runs for each, one that takes ``machine`` and ``dump`` for each dump
of each, one that takes ``moment`` for the dumps of each moment. Without any machine only the tests
of the parsers run, and one skip says why.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.checks.opened import Opened
from lab.results import Dump, Result, load_all

REPOSITORY = Path(__file__).resolve().parent.parent.parent
FOLDER = pytest.StashKey[Path]()
MACHINES = pytest.StashKey[list[Result]]()
TAKEN = ("machine", "dump", "moment")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that names the folder."""
    parser.addoption(
        "--vmemmap-lab",
        default=os.environ.get("VMEMMAP_LAB") or str(REPOSITORY / "build" / "lab"),
        help="folder with what the machines of the lab left behind",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Find the machines."""
    config.stash[FOLDER] = Path(config.getoption("--vmemmap-lab"))
    config.stash[MACHINES] = load_all(config.stash[FOLDER])


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test for each machine, dump or moment, as it asks."""
    machines = metafunc.config.stash[MACHINES]
    taken = [name for name in TAKEN if name in metafunc.fixturenames]
    if taken == ["machine"]:
        metafunc.parametrize("machine", machines, ids=lambda machine: machine.name)
    elif taken == ["machine", "dump"]:
        rows = [(machine, dump) for machine in machines for dump in machine.dumps]
        ids = [f"{machine.name}/{dump.file}" for machine, dump in rows]
        metafunc.parametrize(("machine", "dump"), rows, ids=ids, scope="session")
    elif taken == ["machine", "moment"]:
        rows = [
            (machine, moment)
            for machine in machines
            for moment in dict.fromkeys(dump.moment for dump in machine.dumps)
        ]
        ids = [f"{machine.name}-{moment}" for machine, moment in rows]
        metafunc.parametrize(("machine", "moment"), rows, ids=ids, scope="session")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what has no machine to run on; ``test_there_are_machines`` says so once."""
    if config.stash[MACHINES]:
        return
    idle = [item for item in items if {*TAKEN} & {*getattr(item, "fixturenames", ())}]
    if idle:
        config.hook.pytest_deselected(items=idle)
        items[:] = [item for item in items if item not in idle]


@pytest.fixture(scope="session")
def lab_folder(request: pytest.FixtureRequest) -> Path:
    """The folder in which the machines were looked for."""
    return request.config.stash[FOLDER]


@pytest.fixture(scope="session")
def machines(request: pytest.FixtureRequest) -> list[Result]:
    """All machines."""
    return request.config.stash[MACHINES]


@pytest.fixture(scope="session")
def opened(machine: Result, dump: Dump) -> Iterator[Opened]:
    """Open a dump for the tests of it; closed when the next one comes."""
    with Opened(machine, dump) as found:
        yield found
