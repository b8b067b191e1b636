"""crash on one dump of each moment: the list, the counts, translations, and bytes."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain

import pytest

import vmemmap
from lab.checks import peer_run
from lab.checks.crash_session import addresses, ask, questions, struct_page_runs
from lab.checks.opened import Opened
from lab.checks.peer_crash import Session, parse_session
from lab.results import Result


@pytest.fixture
def session(machine: Result, of_moment: Opened) -> Session:
    """What crash says of it."""
    dump = peer_run.readable(machine, of_moment.dump)
    return parse_session(ask(machine, dump, questions(of_moment), of_moment.dump.file))


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
