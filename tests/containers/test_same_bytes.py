"""One real dump in every container that the real makedumpfile writes: all reads are the same.

``python tools/fetch_peers.py`` fetches makedumpfile; without it these tests are skipped.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import platform
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

import vmemmap
from vmemmap.errors import ReadError, TranslateError
from vmemmap.source.base import PhysicalSource
from vmemmap.source.detect import open_source

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
ROOT = CACHE / "vmemmap" / "peers" / "root"
PROGRAM = ROOT / "usr/bin/makedumpfile"
EMULATOR = shutil.which("qemu-ppc64le-static") or shutil.which("qemu-ppc64le")
NATIVE = platform.machine() == "ppc64le"

pytestmark = [
    pytest.mark.skipif(
        not PROGRAM.exists(), reason="makedumpfile is absent: python tools/fetch_peers.py"
    ),
    pytest.mark.skipif(
        not (EMULATOR or NATIVE),
        reason="qemu-user is absent (python tools/fetch_peers.py says how to install it)",
    ),
]

PAGE = 65536
PAGES = range((1 << 30) // PAGE + 16)
"""All of the machine's memory at boot, and a little more."""

Answers = list[str]
"""For each page the digest of its bytes, or the name of the error that reading it raises."""


@dataclass(frozen=True)
class Peer:
    """makedumpfile, ready to convert the source dump.

    Attributes:
        source: The ELF vmcore.
        folder: Where output goes.
    """

    source: Path
    folder: Path

    def command(self, *options: object) -> list[str]:
        run = [] if NATIVE else [str(EMULATOR), "-L", str(ROOT)]
        return [*run, str(PROGRAM), *map(str, options)]

    def convert(self, options: str, outputs: Sequence[str] = ("out",)) -> list[Path]:
        """Run it on the source and give what it wrote; -F writes to its standard output."""
        paths = [self.folder / name for name in outputs]
        flat = "-F" in options.split()
        with (self.folder / "stdout").open("wb") as stdout:
            done = subprocess.run(
                self.command(*options.split(), self.source, *([] if flat else paths)),
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=subprocess.PIPE,
                timeout=100,
                check=False,
            )
        assert done.returncode == 0, done.stderr[-500:]
        if flat:
            (self.folder / "stdout").rename(paths[0])
        return paths


@pytest.fixture(scope="module")
def source(real_dump: Callable[[str], Path]) -> Path:
    return real_dump("hash-64k-6.1/vmcore.d31.elf.zst")


@pytest.fixture
def peer(source: Path, tmp_path: Path) -> Peer:
    return Peer(source, tmp_path)


def read_all(dump: PhysicalSource) -> Answers:
    answers = []
    for pfn in PAGES:
        try:
            answers.append(hashlib.sha256(dump.read(pfn * PAGE, PAGE)).hexdigest())
        except ReadError as error:
            answers.append(type(error).__name__)
    return answers


def answers_of(*paths: Path) -> Answers:
    dump = open_source(*paths)
    try:
        return read_all(dump)
    finally:
        dump.close()


def list_and_translations(*paths: Path) -> list[object]:
    """The list, and where addresses of each kind translate to, found or not."""
    with vmemmap.open(*paths) as core:
        table = core.backing
        found: list[object] = [table.node.tolist(), table.phys.tolist(), table.virt.tolist()]
        blocks = [virt + step for virt in table.virt.tolist() for step in (0, 4096, 65535, 65536)]
        linear = [0xC000000000000000, 0xC00000000B110000, 0xC000000030000000]
        for virt in [*blocks, *linear, 0xC008000000000000, 0x1000]:
            try:
                found.append(core.vtop(virt).phys)
            except TranslateError as error:
                found.append(error.code)
        return found


@pytest.fixture(scope="module")
def expected(source: Path) -> Answers:
    answers = answers_of(source)
    # Of all kinds there is enough to make the comparison mean something.
    kinds = Counter(answer if len(answer) < 64 else "bytes" for answer in answers)
    assert kinds["bytes"] > 1000
    assert kinds["PageExcluded"] > 1000
    assert kinds["NotInDump"] > 1000
    assert len(kinds) == 3
    return answers


@pytest.fixture(scope="module")
def expected_list(source: Path) -> list[object]:
    return list_and_translations(source)


@pytest.fixture(scope="module")
def excluded_at_31(real_dump: Callable[[str], Path]) -> set[int]:
    """Pages that -d 31 left out of the kdump file that was made of the unfiltered vmcore."""
    answers = answers_of(real_dump("hash-64k-6.1/vmcore.d31.zlib"))
    return {pfn for pfn, answer in zip(PAGES, answers, strict=True) if answer == "PageExcluded"}


# -p needs a makedumpfile with snappy, which Debian's is not: it then writes raw pages.
VARIANTS = [
    *("-z -d 0", "-l -d 1", "-c -d 31", "-E -d 31", "-F -l -d 1", "-F -E -d 0"),
    *(
        pytest.param(options, marks=pytest.mark.full)
        for options in (
            *("-c -d 0", "-l -d 0", "-p -d 0", "-c -d 1", "-z -d 31", "-l -d 31"),
            *("-E -d 0", "-E -d 1", "-F -c -d 0", "-F -z -d 31", "-F -E -d 31"),
        )
    ),
]


@pytest.mark.parametrize("options", VARIANTS)
def test_every_page_reads_the_same(
    peer: Peer,
    expected: Answers,
    expected_list: list[object],
    excluded_at_31: set[int],
    options: str,
) -> None:
    paths = peer.convert(options)
    answers = answers_of(*paths)
    different = [pfn for pfn in PAGES if answers[pfn] != expected[pfn]]
    if options.endswith("31") and "-E" not in options:
        # The ELF form keeps short runs of excluded pages; the kdump form does not.
        assert {answers[pfn] for pfn in different} == {"PageExcluded"}
        assert set(different) <= excluded_at_31
        assert len(different) < 300
    else:
        assert different == []
    assert list_and_translations(*paths) == expected_list
    with vmemmap.open(*paths) as core:
        assert core.source.warnings == []
        assert not core.source.is_incomplete()
        assert core.facts.missing == {}
        level = None if "-E" in options else int(options.split()[-1])
        assert core.source.dump_level == level
    paths[0].unlink()


SPLIT = "--split -c -d 0 --splitblock-size=64"
"""In blocks of 64 MiB, so that all three members have pages; by default the first has all."""


@pytest.fixture(scope="module")
def members(source: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    peer = Peer(source, tmp_path_factory.mktemp("members"))
    return peer.convert(SPLIT, ("first", "second", "third"))


def test_split_in_any_order(
    members: list[Path], expected: Answers, expected_list: list[object]
) -> None:
    for order in itertools.permutations(members):
        dump = open_source(*order)
        assert dump.warnings == []
        assert not dump.is_incomplete()
        dump.close()
        assert list_and_translations(*order) == expected_list
    assert answers_of(*members) == expected
    assert answers_of(*members[::-1]) == expected


@pytest.mark.parametrize("missing", range(3))
def test_split_without_a_member(members: list[Path], expected: Answers, missing: int) -> None:
    """Its pages are lost, all others read the same; each page is lost with one member only."""
    dump = open_source(*members[:missing], *members[missing + 1 :])
    assert dump.is_incomplete()
    assert ["a member of this split dump is missing" in line for line in dump.warnings] == [True]
    answers = read_all(dump)
    dump.close()
    alone = answers_of(members[missing])
    lost = 0
    for pfn in PAGES:
        if answers[pfn] == "PageLost":
            lost += 1
            assert alone[pfn] == expected[pfn]
            assert len(alone[pfn]) == 64
        else:
            assert answers[pfn] == expected[pfn]
    assert lost > 100


def test_split_with_empty_members(peer: Peer, expected: Answers) -> None:
    """Without --splitblock-size the first member has all pages and the others none."""
    paths = peer.convert("--split -l -d 0", ("first", "second", "third"))
    assert answers_of(*paths[::-1]) == expected
    dump = open_source(paths[0])
    assert not dump.is_incomplete()
    dump.close()
    assert set(answers_of(*paths[1:])) == {"PageLost", "PageExcluded", "NotInDump"}


def without_space(peer: Peer, options: str, size: str) -> Path:
    """Let it write to a full file system: a small one, in a mount namespace of its own."""
    script = 'set -e; mount -t tmpfs -o size="$2" tmpfs "$1"; shift 2; out=$1; shift; '
    script += '"$@" </dev/null >/dev/null 2>&1 || true; cp full/out "$out"'
    (peer.folder / "full").mkdir()
    command = peer.command(*options.split(), peer.source, "full/out")
    try:
        subprocess.run(
            ["unshare", "-rm", "sh", "-c", script, "sh", "full", size, "out", *command],
            cwd=peer.folder,
            timeout=100,
            check=True,
            capture_output=True,
        )
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no mount namespace with a small file system here: {error}")
    return peer.folder / "out"


@pytest.mark.parametrize(
    ("options", "size", "errors"),
    [
        ("-c -d 31", "6m", {"PageLost", "PageExcluded"}),
        ("-l -d 0", "9m", {"PageLost"}),
        # Segments that were never reached have no program header: nothing tells of them.
        ("-E -d 31", "40m", {"Truncated", "NotInDump"}),
    ],
)
def test_incomplete(peer: Peer, expected: Answers, options: str, size: str, errors: set) -> None:
    path = without_space(peer, options, size)
    dump = open_source(path)
    assert dump.is_incomplete()
    assert dump.warnings
    answers = read_all(dump)
    dump.close()
    different = [pfn for pfn in PAGES if answers[pfn] != expected[pfn]]
    assert {answers[pfn] for pfn in different} == errors
    assert sum(len(answer) == 64 for answer in answers) > 100


@pytest.mark.parametrize(("options", "size"), [("-c -d 31", 6 << 20), ("-E -d 31", 40 << 20)])
def test_stopped_by_a_file_size_limit(
    peer: Peer, expected: Answers, options: str, size: int
) -> None:
    """It then gives up without marking the file, which shows what is missing all the same."""
    command = peer.command(*options.split(), peer.source, peer.folder / "out")
    script = f"ulimit -f {size // 512}; trap '' XFSZ; exec \"$@\""
    done = subprocess.run(
        ["sh", "-c", script, "sh", *command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=100,
        check=False,
    )
    assert done.returncode != 0
    dump = open_source(peer.folder / "out")
    assert dump.is_incomplete()
    assert dump.warnings
    answers = read_all(dump)
    dump.close()
    for found, right in zip(answers, expected, strict=True):
        assert found == right or len(found) < 64
