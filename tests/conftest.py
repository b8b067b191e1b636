"""Where the dumps for the tests are: the small ones in tests/corpus, the full-size ones beside.

And how a run goes: the profile of its examples, what several workers share, and what is said of
the skips at its end.
"""

from __future__ import annotations

import fcntl
import gc
import json
import lzma
import os
import sys
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from breadth import PROFILES
from skips import pytest_terminal_summary  # noqa: F401 (a hook)

for _name, _profile in PROFILES.items():
    settings.register_profile(_name, _profile)
settings.load_profile("fast")  # --hypothesis-profile goes before

TESTS = Path(__file__).resolve().parent
CORPUS = TESTS / "corpus"
SHARED = TESTS.parent.parent / "shared"


def pytest_collection_finish() -> None:
    """Keep the garbage collector from going through all tests again and again: a tenth of a run."""
    gc.collect()
    gc.freeze()


Once = Callable[[str, Callable[[Path], object]], Path]


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Once:
    """Give a function from a name to a file that is made once, for all workers of a run.

    It takes a function that writes the file; no test may change what it gets.
    """
    folder = tmp_path_factory.getbasetemp()
    folder = (folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "once"
    folder.mkdir(exist_ok=True)

    def made(name: str, make: Callable[[Path], object]) -> Path:
        name = name.replace("/", "-")
        with (folder / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (folder / name).exists():
                part = folder / f"{name}.part"
                make(part)
                part.rename(folder / name)
        return folder / name

    return made


@pytest.fixture(scope="session")
def corpus_dump(once: Once) -> Callable[[str], Path]:
    """Give a function from a fixture's name to its unpacked dump."""

    def unpack(name: str) -> Path:
        packed = CORPUS / name / "dump.xz"
        return once(name, lambda path: path.write_bytes(lzma.decompress(packed.read_bytes())))

    return unpack


@pytest.fixture(scope="session")
def same_machine() -> Callable[[str, str], None]:
    """Give a function that skips the test unless a fixture was cut from a full-size dump's machine.

    What crash said of one machine holds for its own dumps only, and `make corpus` makes others.
    """

    def check(fixture: str, dump: str) -> None:
        origin = tomllib.loads((CORPUS / fixture / "origin.toml").read_text())
        if origin.get("full_size") != dump.split("/")[0]:
            pytest.skip(f"the fixture {fixture} was cut from another machine than {dump}")

    return check


@pytest.fixture(scope="session")
def real_dump(once: Once) -> Callable[[str], Path]:
    """Give a function from ``machine/file`` to a full-size dump; skips the test without it."""

    def find(name: str) -> Path:
        path = SHARED / "dumps" / name
        if not path.exists():
            pytest.skip(f"the full-size dump {name} is not beside this repository")
        if path.suffix != ".zst":
            return path
        import zstandard

        def unpack(unpacked: Path) -> None:
            with path.open("rb") as packed, unpacked.open("wb") as out:
                zstandard.ZstdDecompressor().copy_stream(packed, out)

        return once(name.removesuffix(".zst"), unpack)

    return find


@pytest.fixture(scope="session")
def truth() -> Callable[[str], str]:
    """Give a function from a file name to another tool's output on a full-size dump."""

    def read(name: str) -> str:
        path = SHARED / "truth" / name
        if not path.exists():
            pytest.skip(f"the witness {name} is not beside this repository")
        return path.read_text()

    return read


@dataclass(frozen=True, slots=True)
class Ran:
    """What a run of the command left: exit code and both outputs."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def run_vmemmap(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Ran]:
    """Give a function that runs the command line in this process and waits for its exit."""
    from vmemmap.cli.main import run

    def call(*arguments: object) -> Ran:
        monkeypatch.setattr("sys.argv", ["vmemmap", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_:
            run()
        captured = capsys.readouterr()
        code = exit_.value.code
        assert isinstance(code, int)
        return Ran(code, captured.out, captured.err)

    return call


@pytest.fixture(scope="session")
def vmemmap_script() -> Path:
    """The installed command, for what only a process of its own can show."""
    return Path(sys.executable).parent / "vmemmap"
