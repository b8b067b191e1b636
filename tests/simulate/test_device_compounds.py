"""Device DAX: struct pages of a compound page's tails, which radix lets share one page since 6.6.

What is expected is counted from the sizes: of the struct pages of each compound page the first two
pages are its own, and all others are mapped to the second (ppc64-kernel.md 1.4; Linux commit
f2b79c0d7968, in v6.6).
"""

from __future__ import annotations

from typing import Any

import pytest

import vmemmap
from simulate.machines import M, add, remove, small_machine, small_spec
from vmemmap import Kind
from vmemmap.errors import SpecError
from vmemmap.simulate import Machine, MemoryRange
from vmemmap.simulate.mm.struct_pages import Rows

BOOT = (MemoryRange(0, 0, 64 * M),)
AT = 16 << 30
GIB = 1 << 30


def with_device(release: str, compound: int, size: int = 2 * GIB, **more: Any) -> Machine:
    event = add(AT, size, device=True, compound=compound)
    machine = small_machine(release, BOOT, **{"mmu": "radix", "events": (event,), **more})
    machine.boot().run_events()
    assert [outcome.word for outcome in machine.outcomes] == ["done", "done"]
    return machine


def homes(machine: Machine, size: int = 2 * GIB) -> list[int]:
    """Where each page of the device's struct pages lies, in the order of the vmemmap."""
    kernel = machine.kernel
    first = kernel.vmemmap_base + AT // kernel.page_size * kernel.struct_page_size
    last = first + size // kernel.page_size * kernel.struct_page_size
    found = [machine.vmemmap.map.find(at) for at in range(first, last, kernel.page_size)]
    assert None not in found
    return [at for at in found if at is not None]


def expected(found: list[int], pages: int) -> list[int]:
    """The same, were all tails to share."""
    return [found[at - at % pages + min(at % pages, 1)] for at in range(len(found))]


@pytest.mark.parametrize("release", ["6.6", "6.12", "7.3"])
def test_tails_share_one_page_for_each_compound_page(release: str) -> None:
    machine = with_device(release, GIB)
    found = homes(machine)
    assert found == expected(found, 16), "1 GiB has 1 MiB of struct pages, 16 pages of 64 KiB"
    assert len(set(found)) == 4


@pytest.mark.parametrize(("release", "shares"), [("6.6", False), ("7.1.5", False), ("7.3", True)])
def test_with_4_kib_pages_the_number_of_the_page_was_wrong(release: str, shares: bool) -> None:
    """It went up by one where 64 were passed, so that each page was taken for the second.

    Posted as a fix in June 2026; between 7.1 and 7.4 it is open which kernel has it.
    """
    machine = with_device(release, 2 * M, size=32 * M, page_size=4096)
    found = homes(machine, 32 * M)
    assert (found == expected(found, 8)) is shares
    assert len(set(found)) == (32 if shares else 128)


@pytest.mark.parametrize(
    ("release", "compound", "more"),
    [
        ("6.5", GIB, {}),
        ("6.12", 2 * M, {}),
        ("6.12", GIB, {"struct_page_size": 56}),
        ("6.12", 16 * M, {"mmu": "hash"}),
    ],
    ids=["a list", "two pages at most", "no power of two", "hash"],
)
def test_nothing_is_shared(release: str, compound: int, more: dict[str, Any]) -> None:
    machine = with_device(release, compound, **more)
    assert len(set(homes(machine))) == len(homes(machine))


def test_nor_is_it_where_the_device_has_room_for_its_struct_pages() -> None:
    machine = small_machine("6.12", BOOT, mmu="radix").boot()
    event = add(AT, 2 * GIB, device=True, compound=GIB, altmap=16 * M)
    assert machine.run_event(event).word == "done"
    assert len(set(homes(machine))) == 32


def test_what_was_shared_is_given_back_once() -> None:
    machine = small_machine("6.12", BOOT, mmu="radix").boot()
    device = add(AT, 2 * GIB, device=True, compound=GIB)
    for _ in range(2):
        assert machine.run_event(device).word == "done"
        assert machine.run_event(remove(AT, 2 * GIB, device=True)).word == "done"
        free = machine.pages.free_ranges(0).total
    assert machine.run_event(device).word == "done"
    assert machine.pages.free_ranges(0).total == free - 4, "tables stay, and four pages are taken"


def test_shared_pages_say_the_same_wherever_they_are_looked_at() -> None:
    snapshot = with_device("6.12", GIB).snapshot()
    paint = snapshot.struct_pages.paint_pages
    pfn = AT >> 16

    def tails(first: int) -> Rows:
        return paint(pfn + first, pfn + first + 1024)

    assert (tails(1024)["head"] == tails(2047 - 1023)["head"]).all()
    base = snapshot.machine.kernel.vmemmap_base
    assert set(tails(1024)["head"].tolist()) == {base + pfn * 64 | 1}


@pytest.mark.parametrize(
    ("release", "more", "message"),
    [
        ("5.16", {"compound": GIB}, "since 5.17"),
        ("6.12", {"compound": 4 * M}, "none of 2097152, 1073741824"),
        ("6.12", {"compound": GIB, "device": False}, "only device memory"),
        ("6.12", {"altmap": M, "reserve": 2 * M}, "at the start of the altmap"),
        ("6.12", {"online": False}, "never comes online"),
    ],
)
def test_a_device_that_cannot_be(release: str, more: dict[str, Any], message: str) -> None:
    event = add(AT, GIB, **{"device": True, **more})
    with pytest.raises(SpecError, match=message):
        small_spec(release, BOOT, mmu="radix", events=(event,)).check()


def test_a_reserve_makes_a_first_block_of_16_mib_fall_back_to_ram() -> None:
    """A block is aligned to its size, and behind one page of something else 16 MiB do not fit."""
    for reserve, on_device in ((0, True), (65536, False)):
        memory = (MemoryRange(0, 0, 1024 * M),)
        machine = small_machine("5.10", memory, block_size=16 * M).boot()
        event = add(AT, 64 * GIB, device=True, altmap=16 * M, reserve=reserve)
        assert machine.run_event(event).word == "done"
        first = machine.vmemmap.map.find(machine.vmemmap.pfn_to_page(AT >> 16))
        assert first is not None
        assert (first >= AT) is on_device


# -- what the readers say


@pytest.mark.parametrize("release", ["6.6.9", "7.2"])
def test_check_takes_shared_tails_of_a_device_for_what_they_are(release: str, tmp_path) -> None:
    machine = with_device(release, GIB)
    machine.crash(tmp_path / "vmcore")
    with vmemmap.open(tmp_path / "vmcore") as core:
        report = core.check()
        usage = core.usage()
        tail = core.pages[(AT >> 16) + 16384 + 5000]
    codes = {finding.code: finding for finding in report.findings}
    assert set(codes) <= {"struct_pages_shared", "subsections_unknown"}
    assert "spares 1792 KiB" in codes["struct_pages_shared"].message, "2 times 14 pages of 64 KiB"
    assert codes["struct_pages_shared"].phys == AT + 1024 * 65536
    assert usage.kinds["device"] == 2 * GIB >> 16
    assert usage.kinds["damaged"] == usage.kinds["offline"] == 0
    assert (tail.kind, tail.head) == (Kind.DEVICE, (AT >> 16) + 16384)


@pytest.mark.parametrize("whose", ["ram", "another compound page's"])
def test_any_other_sharing_is_damage(whose: str, tmp_path) -> None:
    machine = with_device("6.12", GIB)
    kernel = machine.kernel
    device = machine.vmemmap.pfn_to_page(AT >> 16)
    wrong = kernel.vmemmap_base if whose == "ram" else device + (1 << 20) + 15 * 65536
    shared = homes(machine)[1]
    if whose == "ram":  # 2 MiB of struct pages, mapped to where the device's second page is
        shared = shared // (2 * M) * 2 * M
    size = 2 * M if whose == "ram" else 65536
    machine.tables.map(wrong, shared, size)
    machine.crash(tmp_path / "vmcore")
    with vmemmap.open(tmp_path / "vmcore") as core:
        findings = core.check().findings
    errors = [finding for finding in findings if finding.severity == "error"]
    assert {finding.code for finding in errors} == {"phys_duplicate"}
    assert wrong in {finding.virt for finding in errors} or whose == "ram"
