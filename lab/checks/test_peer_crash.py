"""crash on one dump of each moment: the list, the counts, translations, and bytes.

A session under qemu-user takes about a minute; what it said is kept beside the dump.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from pathlib import Path

import pytest

import vmemmap
from lab.checks import peer_run
from lab.checks.guest_kernel import parse_modules, parse_vmallocinfo
from lab.checks.machine_facts import misread_by_peers, said
from lab.checks.opened import Opened
from lab.checks.peer_crash import OPTIONS, Session, is_complete, parse_session, script
from lab.results import Result

SECONDS = 400
STRUCT_PAGE_WORDS = 8
WORDS_READ = 64
SYMBOLS_PER_MODULE = 6
PAGES_OF_A_REGION = 48
BEFORE_IOREMAP = 0x8000_0000
"""I/O space of the PCI host bridges comes first, then what drivers map."""
MOST_SCATTERED = 400

LINEAR = 0xC << 60


@pytest.fixture
def session(machine: Result, of_moment: Opened) -> Session:
    """What crash says of it."""
    if misread_by_peers(machine):
        pytest.skip("crash reads one page of the root table of 64 KiB: wrong on radix with 4 KiB")
    if machine.debug_vmlinux is None:
        pytest.skip("crash needs the kernel's debugging information, which was not fetched")
    dump = peer_run.readable(machine, of_moment.dump)
    crash, vmlinux = peer_run.find(machine, "usr/bin/crash"), Path(machine.debug_vmlinux)
    text = script(addresses(of_moment), struct_page_runs(of_moment))
    key = peer_run.key_of([*OPTIONS, text], crash, vmlinux, dump)
    name = f"{of_moment.dump.file}.crash.txt"
    answer = peer_run.kept(machine, name, key)
    if answer is None:
        commands = machine.folder / peer_run.KEPT / f"{of_moment.dump.file}.crash.cmd"
        commands.parent.mkdir(exist_ok=True)
        commands.write_text(text)
        answer = peer_run.run(machine, [crash, *OPTIONS, "-i", commands, vmlinux, dump], SECONDS)
        peer_run.keep(machine, name, key, answer)
    if not is_complete(answer):
        pytest.fail(f"crash does not read {dump.name}: {answer.strip()[-300:]}")
    return parse_session(answer)


def struct_page_runs(opened: Opened) -> list[tuple[int, int]]:
    """Give some struct pages of each memory block: address and how many words."""
    base, page = int(opened.core.facts["vmemmap_base"].value), opened.page_size
    size = 8 * STRUCT_PAGE_WORDS
    runs = []
    for block in opened.blocks:
        for phys in (block.start, (block.start + block.end) // 2, block.end):
            at = base + phys // page * size - (8 * WORDS_READ if phys == block.end else 0)
            runs.append((at, WORDS_READ))
    return runs


def addresses(opened: Opened) -> list[int]:
    """Choose addresses of all regions by what the guest said, mapped ones and others."""
    machine, page = opened.machine, opened.page_size
    virts: list[int] = []
    for at, count in struct_page_runs(opened):
        virts += [at, at + 8 * count - 1, at + 8 * count]
    # Where entries meet, and the ends of the list: what lies just outside is not mapped.
    entries = [int(entry.virt) for entry in opened.core.backing]
    size = opened.core.backing.block_size or 0
    for virt in spaced(entries, MOST_SCATTERED // 8):
        virts += [virt - 1, virt, virt + size - 1, virt + size]
    for block in opened.blocks:
        virts += [LINEAR + block.start, LINEAR + block.end - 1]
    symbols = opened.kallsyms
    for module in parse_modules(said(machine, "modules")):
        own = [symbol.address for symbol in symbols if symbol.module == module.name]
        virts += spaced(own, SYMBOLS_PER_MODULE)
    starts = {
        region.name: region.start
        for region in opened.core.layout.regions
        if region.method == "page_table" and region.name != "vmemmap"
    }
    for name, start in starts.items():
        extra = (start + BEFORE_IOREMAP,) if "io" in name.lower() else ()
        for low in (start, *extra):
            virts += [low + page * at for at in range(PAGES_OF_A_REGION)]
    for area in parse_vmallocinfo(said(machine, "vmallocinfo"))[: MOST_SCATTERED // 4]:
        virts += [area.start, area.end - page, area.end - page - 1]
    return list(dict.fromkeys(virt for virt in virts if virt < 1 << 64))


def spaced(values: list[int], count: int) -> list[int]:
    """Give some of the values, evenly spaced, first and last among them."""
    if len(values) <= count:
        return values
    return [values[at * (len(values) - 1) // (count - 1)] for at in range(count)]


def test_kernel_is_the_same(session: Session, of_moment: Opened) -> None:
    assert session.release == of_moment.core.facts["release"].value


def test_list_is_the_same_byte_for_byte(
    session: Session, of_moment: Opened, run_vmemmap: Callable[..., str]
) -> None:
    machine, backing = of_moment.machine, of_moment.core.backing
    path = machine.path(of_moment.dump)
    said = run_vmemmap("list", path, "--format", "crash")
    assert said == "".join(line + "\n" for line in session.list_lines)
    if len(backing):
        assert session.count == len(backing) == len(session.list_lines)
        assert session.base == of_moment.core.facts["vmemmap_base"].value
        assert session.block_size == backing.block_size


def test_memory_is_counted_the_same(session: Session, of_moment: Opened) -> None:
    """``kmem -i``: of what the CPUs count for themselves crash's figure lacks some."""
    usage, lag = of_moment.usage, sum(zone.lag for zone in of_moment.zones)
    found = usage.as_crash
    assert session.totals["TOTAL MEM"] == found["total"]
    assert session.totals["FREE"] == found["free"]
    assert found["cached"] is not None
    assert abs(session.totals["CACHED"] + session.totals["BUFFERS"] - found["cached"]) <= lag
    # Until version 8 the pages that are marked; then a counter with tails and large kmallocs.
    slab = session.totals["SLAB"]
    marked = found["slab"]
    whole = usage.kinds["slab"]
    most = whole + usage.kinds["other"] + usage.kinds["compound_tail"] + lag
    assert slab == marked or whole - lag <= slab <= most


def test_free_blocks_are_those_of_the_free_lists(session: Session, of_moment: Opened) -> None:
    """``kmem -f`` goes through the lists themselves: every block, at the same moment."""
    if session.free_found is None:
        pytest.skip("crash's kmem -f did not come to its end")
    usage = of_moment.usage
    assert session.free_found == usage.free
    assert usage.free_blocks is not None
    assert [session.free_blocks.get(order, 0) for order in range(len(usage.free_blocks))] == list(
        usage.free_blocks
    )


def test_sections_are_the_same(session: Session, of_moment: Opened) -> None:
    table = of_moment.core.pages.sections
    assert len(session.sections) == len(table)
    for number, state, pfn in session.sections:
        run = table.find(pfn)
        assert run is not None
        assert run.start <= number < run.end
        assert run.early == state.endswith("E")
        assert run.online in (None, "O" in state)


def test_addresses_translate_the_same(session: Session, of_moment: Opened) -> None:
    """Of the list, the linear map and the page tables; where crash meets a hole, we do there."""
    core = of_moment.core
    present = [(block.start, block.end) for block in of_moment.blocks]
    methods: dict[str, int] = {}
    for virt, answer in session.vtop.items():
        if answer.phys is None:
            with pytest.raises(vmemmap.TranslateError) as caught:
                core.vtop(virt)
            if answer.levels and isinstance(caught.value, vmemmap.NotPresent):
                level, entry = answer.levels[-1]
                assert (caught.value.level.upper(), caught.value.entry) == (level, entry), hex(virt)
            methods["none"] = methods.get("none", 0) + 1
            continue
        found = core.vtop(virt)
        assert found.phys == answer.phys, hex(virt)
        methods[found.method] = methods.get(found.method, 0) + 1
        if found.method == "linear":
            assert any(low <= found.phys < high for low, high in present)
    asked = set(addresses(of_moment))
    assert len(session.vtop) > 0.9 * len(asked), "crash left most unanswered"
    assert methods["page_table"] > 20
    assert methods["linear"] >= len(of_moment.blocks)
    assert methods["none"] > 5


def test_struct_pages_have_the_same_bytes(session: Session, of_moment: Opened) -> None:
    core, compared = of_moment.core, 0
    for virt, word in session.words.items():
        try:
            data = core.read(virt, 8)
        except vmemmap.ReadError:
            continue  # of hot-added memory, in a dump whose headers are older
        assert int.from_bytes(data, core.kernel.order) == word, hex(virt)
        compared += 1
    wanted = list(chain.from_iterable(range(count) for _, count in struct_page_runs(of_moment)))
    assert compared > 0.9 * len(wanted)
