"""What VMCOREINFO lacks, taken from the kernel's types: the answers are those of a whole one.

The types come from a vmlinux that the user names, or from the kernel's own BTF in the dump.
"""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest

import vmemmap
from breadth import examples, singles, trying
from builders.btf import BtfBuilder
from builders.byte_order import Order
from builders.kallsyms import install_kallsyms
from builders.kernel_data import PAGE_OFFSET
from builders.kernel_types import kernel_types
from containers.vmlinux_file import SHT_NOTE, SHT_PROGBITS, build_id_note, build_vmlinux
from pages.machines import ERAS, Built, one_of_everything, pfns_of
from vmemmap.errors import FactConflict, FactMissing, VmemmapError

BTF_AT = PAGE_OFFSET + 0x5000_0008
BASE_KEYS = ("OSRELEASE", "BUILD-ID", "PAGESIZE", "SYMBOL", "LENGTH(mem_section)", "CRASHTIME")
OTHERS = ("LENGTH(node_data)", "NUMBER(SECTION", "NUMBER(MAX_P", "NUMBER(RADIX", "NUMBER(VMALLOC")
UNTYPED = ("OFFSET(uts_namespace.name)", "KERNELOFFSET", "LENGTH(printk_info", "OFFSET(cpu_spec")


def typed_keys(built: Built) -> list[str]:
    """Give the keys of a machine's VMCOREINFO that its kernel's types can replace."""
    keys = [k for k in built.machine.vmcoreinfo if not k.startswith(BASE_KEYS + OTHERS + UNTYPED)]
    if built.pages.version < (6, 11):
        keys = [key for key in keys if "MAPCOUNT_VALUE" not in key]  # macros
    return keys


def btf_of(built: Built) -> bytes:
    return kernel_types(built.pages)


def vmlinux_of(built: Built, path: Path, **options: Any) -> Path:
    """Write a vmlinux that is stripped of its symbols and has types."""
    machine = built.machine
    extra = {".BTF": (SHT_PROGBITS, btf_of(built)), **options.pop("extra", {})}
    path.write_bytes(build_vmlinux([], order=machine.byte_order, symtab=False, extra=extra))
    return path


def with_own_types(built: Built, btf: bytes | None = None) -> Built:
    """Put BTF, and symbols that say where it is, into a machine's memory."""
    machine, btf = built.machine, btf_of(built) if btf is None else btf
    machine.poke(BTF_AT, btf)
    symbols = [("T", "_stext", PAGE_OFFSET), ("D", "vmemmap_list", machine.symbols["vmemmap_list"])]
    symbols += [("D", "swapper_pg_dir", machine.symbols["swapper_pg_dir"])]
    symbols += [("R", "__start_BTF", BTF_AT), ("R", "__stop_BTF", BTF_AT + len(btf))]
    install_kallsyms(machine, symbols)
    return built.saved()


def answers(core: vmemmap.Vmcore, built: Built) -> dict[str, Any]:
    """Give what users ask of the pages, but for what makedumpfile would do, which has no types."""
    usage = core.usage()
    first = pfns_of(built.machine)[0]
    shown = [core.pages[first + at] for at in (*range(56), 128, 129, 255, 256, 257)]
    return {
        # VMCOREINFO of 4.4 and 4.5 does not tell hugetlb from others, types do: there is none here.
        "kinds": {kind: count for kind, count in usage.kinds.items() if count},
        "zones": usage.zones,
        "damage": usage.damage,
        "pages": [(p.kind, p.refcount, p.mapcount, p.head, p.order, p.mapping) for p in shown],
        "list": [(e.node, e.phys, e.virt) for e in core.backing],
    }


def flags(core: vmemmap.Vmcore, built: Built) -> list[tuple[str, ...]]:
    """Give the names of the flags of some pages, which types have more of."""
    return [core.pages[pfn].flags for pfn in pfns_of(built.machine)[:40]]


def without(built: Built, keys: list[str], path: Path) -> Path:
    """Write the machine's dump without some keys of VMCOREINFO."""
    machine = built.machine
    whole = dict(machine.vmcoreinfo)
    for key in keys:
        machine.vmcoreinfo.pop(key)
    replace(built, path=path).saved()
    machine.vmcoreinfo.clear()
    machine.vmcoreinfo.update(whole)
    machine.sync_vmcoreinfo()
    return path


@pytest.mark.parametrize(("release", "order"), singles(product(ERAS, ("little", "big"))))
def test_all_keys_missing_and_a_vmlinux_given(release: str, order: Order, tmp_path: Path) -> None:
    built = one_of_everything(tmp_path / "vmcore", release, order)
    with built.open() as core:
        whole = answers(core, built)
    keys = typed_keys(built)
    dump = without(built, keys, tmp_path / "less")
    vmlinux = vmlinux_of(built, tmp_path / "vmlinux")
    with vmemmap.open(dump, vmlinux=vmlinux) as core:
        assert answers(core, built) == whole
        facts = core.facts
        assert facts["struct_page_size"].origin == "user"
        assert str(vmlinux) in facts["SIZE(page)"].detail
        assert facts["vmlinux"].detail == "has BTF, no symbols"
    with vmemmap.open(dump) as core, pytest.raises(VmemmapError):
        core.usage()


@pytest.mark.parametrize(
    ("release", "order"),
    singles(product([era for era in ERAS if int(era.split(".")[0]) >= 6], ("little", "big"))),
)
def test_all_keys_missing_and_types_in_the_dump(release: str, order: Order, tmp_path: Path) -> None:
    built = with_own_types(one_of_everything(tmp_path / "vmcore", release, order))
    with built.open() as core:
        whole, names = answers(core, built), flags(core, built)
        origins = {str(fact.origin) for fact in core.pages.layout.facts}
        assert "assumed" not in origins
    with vmemmap.open(without(built, typed_keys(built), tmp_path / "less")) as core:
        assert (answers(core, built), flags(core, built)) == (whole, names)
        fact = core.facts["SIZE(page)"]
        assert (fact.origin, fact.detail) == ("btf", f"the kernel's BTF at {BTF_AT:#x}")


@pytest.mark.parametrize("release", [pytest.param("3.0.101", marks=pytest.mark.full), "7.2.13"])
def test_each_key_missing_in_turn(release: str, tmp_path: Path) -> None:
    built = one_of_everything(tmp_path / "vmcore", release, "big")
    vmlinux = vmlinux_of(built, tmp_path / "vmlinux")
    with vmemmap.open(built.path, vmlinux=vmlinux) as core:
        whole = answers(core, built)
    keys = typed_keys(built)
    for key in keys[:: len(keys) // examples(len(keys))]:
        dump = without(built, [key], tmp_path / "less")
        with trying(key), vmemmap.open(dump, vmlinux=vmlinux) as core:
            assert answers(core, built) == whole


@pytest.mark.parametrize(
    ("key", "value"),
    [("OFFSET(page.mapping)", "32"), ("SIZE(page)", "72"), ("NUMBER(PG_lru)", "9")],
)
def test_types_of_another_kernel(key: str, value: str, tmp_path: Path, run_vmemmap) -> None:
    built = one_of_everything(tmp_path / "vmcore", "6.1.0", "big")
    vmlinux = vmlinux_of(built, tmp_path / "vmlinux")
    built.machine.vmcoreinfo[key] = value
    built.saved()
    with (
        vmemmap.open(built.path, vmlinux=vmlinux) as core,
        pytest.raises(
            FactConflict, match=re.escape(f"not the vmlinux of this dump's kernel: {key}")
        ),
    ):
        core.usage()
    ran = run_vmemmap("usage", built.path, "--vmlinux", vmlinux)
    assert ran.code == 3
    assert len(ran.err.splitlines()) == 1
    assert str(vmlinux) in ran.err


def test_damaged_types_in_the_dump_are_not_used(tmp_path: Path) -> None:
    """What contradicts VMCOREINFO or makes no sense is as good as nothing."""
    for release in ("6.1.0", "6.12.107"):
        built = one_of_everything(tmp_path / "vmcore", release, "little")
        with built.open() as core:
            whole = answers(core, built)
            assumed = {(f.name, f.origin) for f in core.pages.layout.facts}
        wrong = (
            btf_of(built)
            .replace(b"\0PG_lru\0", b"\0PG_lrv\0")
            .replace(b"\0mapping\0", b"\0napping\0")
        )
        other = BtfBuilder("little")
        other.integer("int", 4)
        for btf in (b"\xee" * 900, btf_of(built)[:-9], other.build(), wrong[:200] + bytes(900)):
            with with_own_types(built, btf).open() as core:
                assert answers(core, built) == whole
                assert {(f.name, f.origin) for f in core.pages.layout.facts} == assumed


BUILD_ID = bytes.fromhex("e04703597006cc36ab4eb3e421c377f39b50aecc")


def test_a_vmlinux_of_another_build_is_noticed_at_once(tmp_path: Path, run_vmemmap) -> None:
    built = one_of_everything(tmp_path / "vmcore", "6.12.107", "big")
    for build_id, code in ((BUILD_ID, 0), (BUILD_ID[::-1], 3)):
        note = {".notes": (SHT_NOTE, build_id_note(build_id, "big"))}
        vmlinux = vmlinux_of(built, tmp_path / "vmlinux", extra=note)
        for command in ("info", "list"):
            ran = run_vmemmap(command, built.path, "--vmlinux", vmlinux)
            assert ran.code == code, ran.err
            assert ("build ID is ccae509bf377" in ran.err) == (code == 3)
            assert len(ran.err.splitlines()) == (code == 3)


def test_a_vmlinux_of_another_release_is_noticed_at_once(tmp_path: Path, run_vmemmap) -> None:
    built = one_of_everything(tmp_path / "vmcore", "4.14.0", "little")
    for release, code in (("4.14.0", 0), ("4.14.1", 3)):
        banner = b"Linux version %s (someone@somewhere) #1 SMP\n\0" % release.encode()
        noise = b"Linux version %s (%s)\0"
        extra = {".rodata": (SHT_PROGBITS, noise + banner)}
        vmlinux = vmlinux_of(built, tmp_path / "vmlinux", extra=extra)
        ran = run_vmemmap("list", built.path, "--vmlinux", vmlinux)
        assert ran.code == code, ran.err
        assert ("its release is 4.14.1" in ran.err) == (code == 3)


def test_symbols_without_types_say_what_they_lack(tmp_path: Path) -> None:
    built = one_of_everything(tmp_path / "vmcore", "6.1.0", "little")
    dump = without(built, ["OFFSET(page.flags)"], tmp_path / "less")
    vmlinux = tmp_path / "vmlinux"
    vmlinux.write_bytes(build_vmlinux([("_stext", PAGE_OFFSET, 0)]))
    with (
        vmemmap.open(dump, vmlinux=vmlinux) as core,
        pytest.raises(
            FactMissing, match=r"OFFSET\(page.flags\).*neither BTF nor debug information"
        ),
    ):
        core.usage()


def test_types_without_symbols_say_what_they_lack(tmp_path: Path) -> None:
    built = one_of_everything(tmp_path / "vmcore", "6.1.0", "little")
    dump = without(built, ["SYMBOL(vmemmap_list)"], tmp_path / "less")
    vmlinux = vmlinux_of(built, tmp_path / "vmlinux")
    with (
        vmemmap.open(dump, vmlinux=vmlinux) as core,
        pytest.raises(FactMissing, match=r"has no symbol table.*stripped"),
    ):
        len(core.backing)


def test_the_first_commands_read_no_types(tmp_path: Path, monkeypatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("types were read")

    built = with_own_types(one_of_everything(tmp_path / "vmcore", "6.12.107", "big"))
    vmlinux = vmlinux_of(built, tmp_path / "vmlinux")
    monkeypatch.setattr("vmemmap.facts.types.btf.Btf.__init__", refuse)
    with vmemmap.open(built.path, vmlinux=vmlinux) as core:
        assert not core.facts.missing
        assert core.vtop(built.machine.blocks[0].virt).phys == built.machine.blocks[0].phys
        assert len(core.backing) == len(built.machine.blocks)
        assert len(core.findings) >= 0
        with pytest.raises(AssertionError, match="types were read"):
            core.usage()
