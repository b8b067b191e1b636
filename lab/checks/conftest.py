"""Which machines are checked: those whose folders the option or the environment names.

A test that takes ``machine`` runs for each, and with one of these for each that a machine has:

``dump``            a dump, but for those that makedumpfile has spoiled
``spoiled_dump``    one that it has spoiled
``moment``          a moment at which there are dumps
``whole_dump``      the fullest dump of a moment, if nothing is left out of it
``further_dump``    the other dumps of a moment

Without any machine only the tests of the parsers run, and one skip says why.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab.checks.machine_facts import fullest, sound, spoiled
from lab.checks.opened import Opened, Opener
from lab.results import Dump, Moment, Result, load_all
from skips import pytest_terminal_summary  # noqa: F401 (a hook)

REPOSITORY = Path(__file__).resolve().parent.parent.parent
FOLDER = pytest.StashKey[Path]()
MACHINES = pytest.StashKey[list[Result]]()
TAKEN = ("machine", "dump", "further_dump", "whole_dump", "spoiled_dump", "moment")


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
    chosen = os.environ.get("VMEMMAP_LAB_MACHINES")  # by the lab; all that are there without it
    names = chosen.split(",") if chosen else None
    found = load_all(config.stash[FOLDER])
    config.stash[MACHINES] = [row for row in found if names is None or row.name in names]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test for each machine, dump or moment, as it asks."""
    rows: dict[str, list[tuple[Result, object]]] = {name: [] for name in TAKEN[1:]}
    machines = metafunc.config.stash[MACHINES]
    for machine in machines:
        for moment in dict.fromkeys(dump.moment for dump in machine.dumps):
            rows["moment"].append((machine, moment))
            full = fullest(machine, moment)
            if not full.level:
                rows["whole_dump"].append((machine, full))
            rows["further_dump"] += [(machine, d) for d in sound(machine, moment) if d != full]
        for dump in machine.dumps:
            rows["spoiled_dump" if spoiled(machine, dump) else "dump"].append((machine, dump))
    by = [name for name in TAKEN if name in metafunc.fixturenames]
    if by == ["machine"]:
        names = [machine.name for machine in machines]
        metafunc.parametrize("machine", machines, ids=names)
    elif by:
        ids = [f"{m.name}/{o.file if isinstance(o, Dump) else o}" for m, o in rows[by[1]]]
        metafunc.parametrize(("machine", by[1]), rows[by[1]], ids=ids)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Go machine by machine, so that dumps are opened once.

    What has nothing to run on is left out; ``test_there_are_machines`` says it once.
    """
    idle = [
        item
        for item in items
        for mark in item.iter_markers("skip")
        if mark.kwargs.get("reason", "").startswith("got empty parameter set")
    ]
    if idle:
        config.hook.pytest_deselected(items=idle)
        items[:] = [item for item in items if item not in idle]
    names = [""] + [machine.name for machine in config.stash[MACHINES]]
    items.sort(key=lambda item: names.index(machine_of(item)))


def machine_of(item: pytest.Item) -> str:
    """Give the name of the machine that a test runs on, or an empty string."""
    call = getattr(item, "callspec", None)
    machine = call.params.get("machine") if call else None
    return machine.name if isinstance(machine, Result) else ""


@pytest.fixture(scope="session")
def lab_folder(request: pytest.FixtureRequest) -> Path:
    """The folder in which the machines were looked for."""
    return request.config.stash[FOLDER]


@pytest.fixture(scope="session")
def machines(request: pytest.FixtureRequest) -> list[Result]:
    """All machines."""
    return request.config.stash[MACHINES]


@pytest.fixture(scope="session")
def opener() -> Iterator[Opener]:
    """What keeps dumps open."""
    kept = Opener()
    yield kept
    kept.close()


@pytest.fixture
def opened(opener: Opener, machine: Result, dump: Dump) -> Opened:
    """A dump, opened."""
    return opener.open(machine, dump)


@pytest.fixture
def further(opener: Opener, machine: Result, further_dump: Dump) -> Opened:
    """A dump that is not the fullest of its moment."""
    return opener.open(machine, further_dump)


@pytest.fixture
def reference(opener: Opener, machine: Result, further_dump: Dump) -> Opened:
    """The fullest dump of the same moment."""
    return opener.open(machine, fullest(machine, further_dump.moment))


@pytest.fixture
def whole(opener: Opener, machine: Result, whole_dump: Dump) -> Opened:
    """A dump that leaves nothing out."""
    return opener.open(machine, whole_dump)


@pytest.fixture
def of_moment(opener: Opener, machine: Result, moment: Moment) -> Opened:
    """The fullest dump of a moment."""
    return opener.open(machine, fullest(machine, moment))


@pytest.fixture
def run_vmemmap(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., str]:
    """Give a function that runs the command line in this process and gives what it printed.

    It fails unless the command ends with exit code 0 and nothing on stderr.
    """
    from vmemmap.cli.main import run

    def call(*arguments: object) -> str:
        monkeypatch.setattr("sys.argv", ["vmemmap", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_:
            run()
        captured = capsys.readouterr()
        assert (exit_.value.code, captured.err) == (0, "")
        return captured.out

    return call
