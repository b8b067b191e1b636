"""``vmemmap simulate``: a simulated machine, crashed into a vmcore whose answers are known."""

from __future__ import annotations

import sys
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vmemmap.cli.options import (
    EXIT_UNREADABLE,
    EXIT_USAGE,
    DebugOption,
    Format,
    FormatOption,
    complain,
    hex_or_none,
    refuse_to_replace,
)
from vmemmap.cli.progress import ProgressBar

if TYPE_CHECKING:
    from vmemmap.simulate import Machine, MachineSpec
    from vmemmap.simulate.crash.snapshot import Snapshot


def simulate(
    spec: Annotated[
        str | None,
        typer.Argument(
            metavar="[SPEC.toml]",
            help="The machine; without it, 4 GiB on one node. See --example.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        str | None, typer.Option("--out", "-o", metavar="FILE", help="Write the vmcore here.")
    ] = None,
    memory: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="Memory of a machine without SPEC.toml.  [default: 4G]"),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="FIELD=VALUE",
            help="Override a field of the spec, such as kernel.page_size=4K; may be repeated.",
        ),
    ] = None,
    vmlinux: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Write the kernel's symbols here; readers of kernels before 3.13 need them.",
        ),
    ] = None,
    compare_designs: Annotated[
        bool,
        typer.Option(
            "--compare-designs",
            help="Say what this machine's list costs in v1, v2 and v3 of the patch.",
        ),
    ] = False,
    damage: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND",
            help="Break the list before the dump is written; may be repeated. See --list-damage.",
        ),
    ] = None,
    list_damage: Annotated[
        bool, typer.Option("--list-damage", help="Print every kind of damage, and end.")
    ] = False,
    example: Annotated[
        bool, typer.Option("--example", help="Print a spec to start from, and end.")
    ] = False,
    output: FormatOption = Format.TEXT,
    debug: DebugOption = False,
) -> None:
    """Boot a simulated machine, hot-add and remove memory, crash it into a vmcore.

    The dump is as real kernels make them, for every release from 2.6.35 to 7.3, and what is printed
    is what a tool has to find in it.
    """
    from vmemmap.errors import OutputError, SpecError, UnwritableFile

    if example:
        from vmemmap.simulate.spec.toml import EXAMPLE

        sys.stdout.write(EXAMPLE)
        raise typer.Exit(0)
    if list_damage:
        _list_damage(output)
        raise typer.Exit(0)
    if out is None and not compare_designs:
        raise typer.BadParameter("give -o FILE for the vmcore, or --compare-designs")
    if spec is not None and memory is not None:
        raise typer.BadParameter("--memory is for machines without SPEC.toml")
    for name in (out, vmlinux):
        if name is not None:
            refuse_to_replace(name, spec)
    if out is not None and vmlinux is not None and Path(out).absolute() == Path(vmlinux).absolute():
        raise typer.BadParameter("-o and --vmlinux name the same file")
    try:
        machine = _read(spec, memory, set_ or [])
        if damage and spec is None and machine.block_size is None:
            machine = _with_small_blocks(machine)
        _simulate(machine, out, vmlinux, output, compare_designs, damage or [])
    except OutputError as error:
        if debug:
            traceback.print_exc()
        usage = isinstance(error, SpecError)
        name = error.path if isinstance(error, UnwritableFile) else spec or "simulate"
        complain(name, str(error))
        raise typer.Exit(EXIT_USAGE if usage else EXIT_UNREADABLE) from None
    sys.stdout.flush()
    raise typer.Exit(0)


def _read(path: str | None, memory: str | None, changes: list[str]) -> MachineSpec:
    """Read the spec, or make the small one, with the changes of the command line."""
    from vmemmap.simulate.spec.toml import load_spec, parse_spec

    if path is not None:
        return load_spec(path, changes)
    size = (memory or "4G").replace("\\", "").replace('"', "")
    return parse_spec(f'[[memory]]\nstart = 0\nsize = "{size}"\n', changes)


def _simulate(
    spec: MachineSpec,
    out: str | None,
    vmlinux: str | None,
    output: Format,
    designs: bool,
    damage: list[str],
) -> None:
    from vmemmap.simulate import Machine
    from vmemmap.simulate.crash.vmcore import write_vmcore

    with ProgressBar() as progress:
        machine = Machine(spec).boot().run_events(progress)
        if out is None:
            record: dict[str, Any] = {}
        else:
            if vmlinux is not None:
                machine.write_symbols(vmlinux)
            snapshot = machine.snapshot()
            found = collect_list(snapshot)  # of the list as it was before any damage
            harms = _damage(snapshot, damage)
            write_vmcore(snapshot, out, progress)
            record = collect(machine, snapshot, out, found) | ({"damage": harms} if harms else {})
    if designs:
        from vmemmap.simulate.designs import compare_designs

        blocks = record["vmemmap"]["entries"] if record else len(machine.walk())
        costs = compare_designs(blocks, spec.page_size, spec.byte_order)
        record |= {"blocks": blocks, "designs": [asdict(cost) for cost in costs]}
    _print(record, output)


def _with_small_blocks(spec: MachineSpec) -> MachineSpec:
    """Give a machine's list more entries, so that one can be damaged among others."""
    from dataclasses import replace

    return replace(spec, block_size=min(spec.check().block_sizes(spec.boot_bytes)))


def _damage(snapshot: Snapshot, names: list[str]) -> list[dict[str, Any]]:
    """Damage the machine; give what was done, and what a checker has to find."""
    from vmemmap.simulate.crash.damage import apply_damage

    harms = []
    for name in names:
        harm = asdict(apply_damage(snapshot, name))
        for address in ("node", "virt", "phys"):
            harm[address] = hex_or_none(harm[address])
        harms.append(harm)
    return harms


def _list_damage(output: Format) -> None:
    from vmemmap.simulate.crash.damage import DAMAGE_KINDS

    rows = [
        {"name": name, "findings": list(kind.findings), "what": kind.what}
        for name, kind in DAMAGE_KINDS.items()
    ]
    if output is Format.JSON:
        from vmemmap.report import as_json

        sys.stdout.write(as_json.dump(rows))
        return
    for row in rows:
        sys.stdout.write(f"{row['name']:20}  {row['what']} -> {' or '.join(row['findings'])}\n")


def collect_list(snapshot: Snapshot) -> dict[str, Any]:
    """Gather what is known of the list."""
    from vmemmap.simulate.crash import answers

    found = asdict(answers.list_answers(snapshot.machine))
    for name in ("no_node", "no_mapping"):
        found[name] = [f"{virt:#x}" for virt in found[name]]
    return found


def collect(
    machine: Machine, snapshot: Snapshot, path: str, found: dict[str, Any]
) -> dict[str, Any]:
    """Gather the record of a simulated dump: what it is, and what is known of it.

    Args:
        machine: The machine.
        snapshot: Its memory at the crash.
        path: The dump.
        found: `collect_list`, from before any damage.
    """
    from vmemmap.simulate.crash import answers

    kernel, spec = machine.kernel, machine.spec
    pages = answers.page_answers(snapshot)
    return {
        "dump": {
            "path": path,
            "bytes": Path(path).stat().st_size,
            "disk_bytes": Path(path).stat().st_blocks * 512,
            "ranges": [[f"{start:#x}", f"{end:#x}"] for start, end in snapshot.ranges],
        },
        "kernel": {
            "release": kernel.release,
            "page_size": kernel.page_size,
            "byte_order": kernel.byte_order,
            "mmu": kernel.mmu,
            "struct_page_size": kernel.struct_page_size,
        },
        "vmemmap": {"base": f"{kernel.vmemmap_base:#x}", "block_size": machine.block_size} | found,
        "events": [
            {"what": outcome.what, "result": outcome.word, "calls": outcome.calls}
            for outcome in machine.outcomes
        ],
        "crashed": machine.crashed or "after the last event",
        "lock": machine.locks.description,
        "nodes": sorted({part.node for part in spec.memory}),
        "pages": asdict(pages),
        "makedumpfile": answers.makedumpfile_classes(machine.kernel, pages),
        "notes": answers.remarks(snapshot.machine),
    }


def _print(record: dict[str, Any], output: Format) -> None:
    if output is Format.JSON:
        from vmemmap.report import as_json

        sys.stdout.write(as_json.dump(record))
    elif output is Format.CSV:
        from vmemmap.report import as_csv

        if "designs" in record:
            rows = record["designs"]
            sys.stdout.writelines(as_csv.lines(tuple(rows[0]), rows))
        else:
            rows = [{"kind": kind, "pages": count} for kind, count in record["pages"].items()]
            sys.stdout.writelines(as_csv.lines(("kind", "pages"), rows))
    else:
        from vmemmap.report import simulate as simulated_as_text

        sys.stdout.writelines(simulated_as_text.lines(record))
