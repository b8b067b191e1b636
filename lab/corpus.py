"""Make the fixtures of tests/corpus anew: real dumps, cut to metadata, and what crash says of them.

    python -m lab.corpus [NAME ...] [--into DIR]

Boots what is needed (the set ``corpus`` of lab/matrix.toml), asks crash about the full-size dumps,
and cuts them down with the recipes beside the fixtures (tests/corpus/cut.py, expect.py), or makes
extracts of them. A fixture is replaced only when its new one is complete.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import lzma
import mmap
import shutil
import struct
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

import vmemmap
from lab import __main__ as lab_main
from lab.checks.machine_facts import misread_by_peers
from lab.checks.peer_crash import OPTIONS, is_complete
from lab.checks.peer_run import EMULATOR, NATIVE
from lab.corpus_extract import COMMANDS, said_of_memory
from lab.corpus_questions import Questions, of_an_extract, questions
from lab.results import Result, load

ROOT = Path(__file__).resolve().parent.parent
TABLE = Path(__file__).with_name("corpus.toml")
RECIPES = ROOT / "tests" / "corpus"
CRASH_SECONDS = 900
CUT_SECONDS = 600
# Radix with 4 KiB pages, the one for which crash needs help: 39 bits below the root table.
PGD_SHIFT, REGION_MASK = 39, (1 << 52) - 1
ROOT_SYMBOL = b"swapper_pg_dir\0"
SHT_SYMTAB, SYMBOL_BYTES = 2, 24
_QUAD, _WORD, _HALVES, _SECTION = (
    struct.Struct(form) for form in ("<Q", "<I", "<HHH", "<IIQQQQIIQQ")
)
CONSENT = "a throw-away guest with no user but its test script; no user pages are in the fixture"
HOW = (
    "help -m; vtop and rd of addresses chosen by lab/corpus_questions.py; expect.py put it in order"
)
LOG_HOW = (
    "kmsg.txt.xz as it was read: syslog prefix, sequence number, microseconds, flags; text. "
    "/dev/kmsg does not give the last message out before another follows"
)
EXTRACT_HOW = (
    "; kmem -i, kmem -f and kmem -n for the counts. The guest's zoneinfo and meminfo, a moment "
    "before, for its zones (lab/corpus_extract.py)"
)
AIDED = (
    " Crash reads only one page of the root table, which is 64 KiB long whatever the page size. It "
    "was given a copy of the vmlinux whose swapper_pg_dir is moved to the 4 KiB piece of the root "
    "that the region needs, one session a region; the rest of the walk is crash's own. Weaker than "
    "the other witnesses, since the piece was chosen for it."
)


class Unmade(Exception):
    """A fixture cannot be made; the message says why."""


def make(name: str, row: dict[str, Any], results: Path, into: Path) -> str:
    """Make one fixture; give a line about it.

    Raises:
        Unmade: Its machine has not run, or crash or a recipe failed.
    """
    machine = load(results / row["machine"])
    if machine is None:
        raise Unmade(f"{name}: {row['machine']} has not run to its end")
    dump = machine.folder / row["dump"]
    with tempfile.TemporaryDirectory(dir=results) as work:
        fresh = Path(work, "fixture")
        fresh.mkdir()
        with vmemmap.open(dump) as core:
            origin = _origin(machine, core, row)
            if row.get("log"):
                asked, arguments = None, ["--log"]
            else:
                asked = questions(machine, core, areas=row.get("areas", False))
                if "extract" in row:
                    asked = of_an_extract(asked, core, COMMANDS)
                vtop = [f"{at:x}" for at in asked.vtop]
                arguments = ["--blocks", row.get("blocks", "all"), "--vtop", *vtop]
        if asked is None:
            packed = lzma.compress((machine.folder / "guest" / "kmsg").read_bytes(), preset=9)
            (fresh / "kmsg.txt.xz").write_bytes(packed)
        else:
            logs = _sessions(machine, dump, asked, Path(work))
            said = _recipe("expect.py", *logs)
            if "extract" in row:
                said = _with_counts(said, machine, row["dump"], logs)
            (fresh / "expected.json").write_bytes(said)
        if "extract" in row:
            _extract(dump, fresh, row["extract"])
        else:
            _recipe("cut.py", dump, fresh / "dump.xz", *arguments)
        data = lzma.decompress((fresh / "dump.xz").read_bytes())
        origin["sha256"] = hashlib.sha256(data).hexdigest()
        (fresh / "origin.toml").write_text(_as_toml(origin))
        shutil.rmtree(into / name, ignore_errors=True)
        (into / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.move(fresh, into / name)
    count = len(asked.vtop) if asked else 0
    return f"{name}: {len(data)} bytes, {count} addresses asked of crash"


def _sessions(machine: Result, dump: Path, asked: Questions, work: Path) -> list[str]:
    """Let crash answer; give the arguments for expect.py."""
    if machine.debug_vmlinux is None:
        raise Unmade(f"{machine.name}: crash needs the kernel's debugging information")
    vmlinux = Path(machine.debug_vmlinux)
    if not misread_by_peers(machine):
        return [str(_crash(machine, vmlinux, dump, asked.script(), work / "all.log"))]
    logs = []
    aided = work / "vmlinux"
    shutil.copyfile(vmlinux, aided)
    with vmemmap.open(dump) as core:
        root = core.kernel.vmcoreinfo.symbol("swapper_pg_dir")
    for prefix in asked.prefixes:
        first = next(at for at in asked.vtop if at >> 48 == prefix)
        entry_at = (first & REGION_MASK) >> PGD_SHIFT << 3
        _move_root(aided, root + entry_at // 4096 * 4096)
        log = _crash(machine, aided, dump, asked.script(prefix), work / f"{prefix:x}.log")
        logs.append(f"{log}:{prefix:x}")
    return logs


def _with_counts(said: bytes, machine: Result, dump: str, logs: list[str]) -> bytes:
    """Add what crash and the guest count; crash has to have read all of the page tables itself."""
    if misread_by_peers(machine):
        raise Unmade(f"{machine.name}: crash is no witness of its pages")
    try:
        counts = said_of_memory(machine, dump, Path(logs[0]).read_text(errors="replace"))
    except ValueError as error:
        raise Unmade(f"{machine.name}: {error}") from None
    return json.dumps(json.loads(said) | counts, indent=1).encode() + b"\n"


def _extract(dump: Path, fresh: Path, options: list[str]) -> None:
    """Let the command write the extract, as users do, and pack it; its manifest stays beside it."""
    out = fresh / "dump"
    _run("vmemmap extract", ["-m", "vmemmap", "extract", dump, "-o", out, "-f", "json", *options])
    (fresh / "dump.xz").write_bytes(lzma.compress(out.read_bytes(), preset=9))
    out.unlink()


def _crash(machine: Result, vmlinux: Path, dump: Path, script: str, log: Path) -> Path:
    commands = log.with_suffix(".cmd")
    commands.write_text(script)
    run = [] if NATIVE else [str(EMULATOR), "-L", machine.tools]
    crash = [str(Path(machine.tools, "usr/bin/crash")), *OPTIONS]
    with log.open("wb") as out:
        subprocess.run(
            [*run, *crash, "-i", commands, vmlinux, dump],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            timeout=CRASH_SECONDS,
            check=False,
        )
    said = log.read_text(errors="replace")
    if not is_complete(said):
        raise Unmade(f"crash does not read {dump}: {said[-300:]}")
    return log


def _move_root(aided: Path, address: int) -> None:
    """Let the symbol swapper_pg_dir of a little-endian vmlinux point elsewhere."""
    with aided.open("r+b") as file, mmap.mmap(file.fileno(), 0) as content:
        table_at, (entry, count, _) = (
            _QUAD.unpack_from(content, 40)[0],
            _HALVES.unpack_from(content, 58),
        )
        sections = [_SECTION.unpack_from(content, table_at + i * entry) for i in range(count)]
        symtab = next(row for row in sections if row[1] == SHT_SYMTAB)
        names_at = sections[symtab[6]][4]
        moved = 0
        for at in range(symtab[4], symtab[4] + symtab[5], SYMBOL_BYTES):
            name_at = names_at + _WORD.unpack_from(content, at)[0]
            if content[name_at : name_at + len(ROOT_SYMBOL)] == ROOT_SYMBOL:
                _QUAD.pack_into(content, at + 8, address)
                moved += 1
    assert moved == 1


def _recipe(name: str, *arguments: object) -> bytes:
    return _run(name, [RECIPES / name, *arguments])


def _run(name: str, words: list[object]) -> bytes:
    """Let Python run something; give what it prints."""
    done = subprocess.run(
        [sys.executable, *map(str, words)],
        stdout=subprocess.PIPE,
        timeout=CUT_SECONDS,
        check=False,
    )
    if done.returncode:
        raise Unmade(f"{name} failed")
    return done.stdout


def _origin(machine: Result, core: vmemmap.Vmcore, row: dict[str, Any]) -> dict[str, Any]:
    """Say where a fixture comes from; its checksum is not known yet."""
    kernel, spec = core.kernel, machine.spec
    page_size = kernel.page_size.value
    package = next(
        n for n in sorted(machine.versions) if n.startswith("linux-") and machine.release in n
    )
    what = "a kernel log that has gone round" if row.get("log") else "vmemmap_list and page tables"
    if "extract" in row:
        what = "an extract"
    elif row.get("areas"):
        what = "every vmalloc and I/O area"
    makes = {
        "vmcore.elf": "/proc/vmcore copied as it was",
        "qemu.elf": "dumped by QEMU's dump-guest-memory",
    }
    made = makes.get(row["dump"], f"makedumpfile {machine.versions['makedumpfile']}: {row['dump']}")
    recipe, container = "tests/corpus/cut.py", core.source.format
    if "extract" in row:
        recipe = " ".join(["vmemmap extract", *row["extract"]])
        container = "elf" if "-E" in row["extract"] else "kdump"
    origin: dict[str, Any] = {
        "title": f"Linux {kernel.release.value} ppc64le, {spec['mmu']} MMU, "
        f"{page_size >> 10} KiB pages: {what}",
        "kernel": f"{kernel.release.value} (Debian {machine.versions[package]})",
        "memory_byte_order": kernel.order,
        "mmu": spec["mmu"],
        "page_size": page_size,
        "container": container,
        "sha256": "",
        "made_by": f"the lab's machine {machine.name} under QEMU (memory: "
        f"{', '.join(spec['memory']) or 'as booted'}); {made}; then {recipe}",
        "consent": CONSENT,
    }
    if not row.get("log") and len(core.backing):
        origin["block_size"] = core.backing.block_size
    if row.get("log"):
        tool, how = "the guest's kernel itself: /dev/kmsg read after the last message", LOG_HOW
    else:
        tool = (
            f"crash {machine.versions['crash']} (Debian, ppc64el binary) with the kernel's own "
            "debug information, on the full-size dump"
        )
        how = HOW + (AIDED if misread_by_peers(machine) else "")
        if "extract" in row:
            how += EXTRACT_HOW
    origin["witness"] = {"tool": tool, "how": how}
    return origin


def _as_toml(origin: dict[str, Any]) -> str:
    # Texts as JSON has them are texts of TOML, too.
    lines = [f"{key} = {json.dumps(value)}" for key, value in origin.items() if key != "witness"]
    lines += ["", "[witness]"]
    lines += [f"{key} = {json.dumps(value)}" for key, value in origin["witness"].items()]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Make the fixtures; give the exit code."""
    table = tomllib.loads(TABLE.read_text())
    parser = argparse.ArgumentParser(prog="python -m lab.corpus", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="fixtures (default: all)")
    parser.add_argument("--into", type=Path, default=RECIPES, metavar="DIR")
    parser.add_argument(
        "--folder", type=Path, default=lab_main.FOLDER, help="folder of the lab", metavar="DIR"
    )
    options = parser.parse_args()
    names = options.names or [*table]
    if unknown := [name for name in names if name not in table]:
        parser.error(f"there is no fixture {', '.join(unknown)}; there are {', '.join(table)}")
    wanted = dict.fromkeys(table[name]["machine"] for name in names)
    if code := lab_main.boot(",".join(wanted), options.folder):
        return code
    failed = 0
    for name in names:
        print(f"{name}: from {table[name]['machine']}/{table[name]['dump']}", flush=True)
        try:
            print(make(name, table[name], options.folder, options.into), flush=True)
        except (Unmade, vmemmap.VmemmapError, subprocess.TimeoutExpired) as error:
            print(f"corpus: {error}", file=sys.stderr)
            failed = 1
    return failed


if __name__ == "__main__":
    sys.exit(main())
