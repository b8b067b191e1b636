"""Where the dumps for the tests are: the small ones in tests/corpus, the full-size ones beside."""

from __future__ import annotations

import json
import lzma
import sys
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

TESTS = Path(__file__).resolve().parent
CORPUS = TESTS / "corpus"
SHARED = TESTS.parent.parent / "shared"


@pytest.fixture(scope="session")
def corpus_dump(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Give a function from a fixture's name to its unpacked dump."""
    folder = tmp_path_factory.mktemp("corpus")

    def unpack(name: str) -> Path:
        path = folder / name
        if not path.exists():
            path.write_bytes(lzma.decompress((CORPUS / name / "dump.xz").read_bytes()))
        return path

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
def real_dump(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Give a function from ``machine/file`` to a full-size dump; skips the test without it."""
    folder = tmp_path_factory.mktemp("real")

    def find(name: str) -> Path:
        path = SHARED / "dumps" / name
        if not path.exists():
            pytest.skip(f"the full-size dump {name} is not beside this repository")
        if path.suffix != ".zst":
            return path
        unpacked = folder / name.replace("/", "-").removesuffix(".zst")
        if not unpacked.exists():
            import zstandard

            with path.open("rb") as packed, unpacked.open("wb") as out:
                zstandard.ZstdDecompressor().copy_stream(packed, out)
        return unpacked

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
