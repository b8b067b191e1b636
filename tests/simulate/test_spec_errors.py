"""A machine that cannot be is refused in one line that names the field, and quickly."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from breadth import examples
from simulate.machines import M, add, remove, specs
from vmemmap.errors import SpecError
from vmemmap.simulate import (
    FaultPlan,
    Machine,
    MachineSpec,
    MemoryRange,
    PagePlan,
    load_spec,
    parse_spec,
)
from vmemmap.simulate.kernel import Kernel
from vmemmap.simulate.spec.toml import parse_size
from work import lines_of

GOOD = '[[memory]]\nsize = "64M"\nstart = 0\n'
BOOT = (MemoryRange(0, 0, 64 * M), MemoryRange(1, 64 * M, 64 * M))
HUGE = 10**300


def refused(spec: MachineSpec, field: str, *words: str) -> None:
    with pytest.raises(SpecError) as caught:
        spec.check()
    assert caught.value.field == field
    text = str(caught.value)
    assert text.startswith(f"{field}: ")
    assert "\n" not in text
    for word in words:
        assert word in text


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("kernel.release", {"release": "2.6.34"}),
        ("kernel.release", {"release": "2.4.20"}),
        ("kernel.release", {"release": "7.4"}),
        ("kernel.release", {"release": "six"}),
        ("kernel.release", {"release": ""}),
        ("kernel.release", {"release": "6.1\n"}),
        ("kernel.release", {"release": "6.1\0"}),
        ("kernel.release", {"release": "6.1-a b"}),
        ("kernel.release", {"release": "٦.1"}),
        ("kernel.release", {"release": "6." + "1" * 5000}),
        ("kernel.release", {"release": "6.1-" + "x" * 100}),
        ("kernel.page_size", {"page_size": 16384}),
        ("kernel.page_size", {"page_size": HUGE}),
        ("kernel.byte_order", {"byte_order": "middle"}),
        ("kernel.mmu", {"mmu": "none"}),
        ("kernel.mmu", {"mmu": "radix", "release": "4.6"}),
        ("kernel.struct_page_size", {"struct_page_size": 72}),
        ("kernel.block_size", {"block_size": 16 * M}),
        ("kernel.block_size", {"block_size": 0}),
        ("kernel.block_size", {"block_size": -65536}),
        ("kernel.block_size", {"block_size": 2 * M}),
        ("kernel.block_size", {"block_size": 4096}),
        ("kernel.block_size", {"block_size": HUGE}),
        ("kernel.block_size", {"block_size": 65536, "page_size": 4096}),
        ("kernel.block_size", {"block_size": 2 * M, "mmu": "radix", "release": "5.2"}),
        ("dump.cpus", {"cpus": 0}),
        ("dump.cpus", {"cpus": HUGE}),
        ("dump.crash_time", {"crash_time": -1}),
        ("dump.crash_time", {"crash_time": 1 << 32}),
        ("dump.headers_from", {"headers_from": "never"}),
        ("memory", {"memory": ()}),
        ("memory", {"memory": (MemoryRange(0, 64 * M, 64 * M),)}),
        ("memory", {"memory": (MemoryRange(0, 0, 16 * M),)}),
        ("memory", {"memory": tuple(MemoryRange(0, n << 24, 1 << 24) for n in range(5000))}),
        ("memory[0].size", {"memory": (MemoryRange(0, 0, 0),)}),
        ("memory[0].size", {"memory": (MemoryRange(0, 0, -32 * M),)}),
        ("memory[0].size", {"memory": (MemoryRange(0, 0, 33 * M),)}),
        ("memory[0].start", {"memory": (MemoryRange(0, 0, HUGE << 24),)}),
        ("memory[1].start", {"memory": (*BOOT[:1], MemoryRange(0, 65 * M, 32 * M))}),
        ("memory[1].start", {"memory": (*BOOT[:1], MemoryRange(0, -32 * M, 32 * M))}),
        ("memory[1].start", {"memory": (*BOOT[:1], MemoryRange(1, 48 * M, 32 * M))}),
        ("memory[2].start", {"memory": (*BOOT, MemoryRange(0, 0, 128 * M))}),
        ("memory[1].start", {"memory": (*BOOT[:1], MemoryRange(0, 1 << 51, 32 * M))}),
        ("memory[1].node", {"memory": (*BOOT[:1], MemoryRange(256, 64 * M, 32 * M))}),
        ("memory[1].node", {"memory": (*BOOT[:1], MemoryRange(-1, 64 * M, 32 * M))}),
        ("event[0].start", {"events": (add(32 * M),)}),
        ("event[0].start", {"events": (add(129 * M),)}),
        ("event[0].size", {"events": (add(128 * M, 2 * M),)}),
        ("event[0].node", {"events": (add(128 * M, node=2),)}),
        ("event[1].start", {"events": (add(128 * M), add(128 * M))}),
        ("event[0].start", {"events": (remove(128 * M),)}),
        ("event[0].start", {"events": (remove(112 * M, 32 * M),)}),
        ("event[1].start", {"events": (remove(112 * M), remove(112 * M))}),
        ("event[0].start", {"events": (remove(0, 16 * M),)}),
        ("event[0].size", {"events": (remove(112 * M, 0),)}),
        ("event[0].altmap", {"events": (add(128 * M, altmap=65536),)}),
        ("event[0].altmap", {"events": (add(128 * M, altmap=1, device=True),)}),
        ("event[0].altmap", {"events": (add(128 * M, altmap=16 * M, device=True),)}),
        ("event[0].altmap", {"events": (add(128 * M, altmap=-65536, device=True),)}),
        (
            "event[0].altmap",
            {"events": (add(128 * M, altmap=65536, device=True),), "release": "4.12"},
        ),
        ("event[0].device", {"events": (remove(112 * M, device=True),)}),
        (
            "event[1].size",
            {"events": (add(128 * M, 4 * M, device=True), remove(128 * M, 2 * M, device=True))},
        ),
        ("event[1].size", {"events": (add(128 * M, 32 * M, device=True), remove(128 * M))}),
        ("event", {"events": tuple(add((8 + n) << 24) for n in range(2000))}),
        ("pages.cache", {"pages": PagePlan(cache=-1)}),
        ("pages.huge", {"pages": PagePlan(huge=1)}),
        ("pages.offline", {"pages": PagePlan(offline=1), "release": "5.0"}),
        ("pages", {"pages": PagePlan(slab=2049)}),
        ("pages", {"pages": PagePlan(anonymous=HUGE)}),
        ("faults.block", {"faults": FaultPlan(block=(0,))}),
        ("faults.mapping", {"faults": FaultPlan(mapping=(1, -1))}),
        ("faults.crash_before_store", {"faults": FaultPlan(crash_before_store=-1)}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_names_its_field(field: str, changes: dict[str, object]) -> None:
    plain: dict[str, object] = {"memory": BOOT}
    spec = MachineSpec(**plain | changes)  # type: ignore[arg-type]
    refused(spec, field)
    with pytest.raises(SpecError):
        Machine(spec)


def test_the_block_size_error_says_which_there_are() -> None:
    refused(MachineSpec(BOOT, block_size=16 * M), "kernel.block_size", "16384K", "128 MiB", "64K")
    spec = MachineSpec((MemoryRange(0, 0, 1 << 30),), block_size=4096, page_size=4096)
    assert spec.check().block_sizes(1 << 30) == (16 * M, 4096)


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("memory = 3", "memory"),
        ("[memory]\nsize = 1", "memory"),
        ("memory = [3]", "memory[0]"),
        ("[[memory]]\nstart = 0", "memory[0].size"),
        ("[[memory]]\nsize = 0x2000000", "memory[0].start"),
        ("[[memory]]\nstart = 0\nsize = 64.0", "memory[0].size"),
        ("[[memory]]\nstart = 0\nsize = true", "memory[0].size"),
        ('[[memory]]\nstart = 0\nsize = "64 parsecs"', "memory[0].size"),
        ('[[memory]]\nstart = 0\nsize = "0.3K"', "memory[0].size"),
        ("[[memory]]\nstart = []\nsize = 1", "memory[0].start"),
        ("[[memory]]\nstart = 1979-05-27\nsize = 1", "memory[0].start"),
        (f"[[memory]]\nstart = 0\nsize = {HUGE << 24}", "memory[0].start"),
        (f"[[memory]]\nstart = 0\nsize = {'9' * 5000}", ""),
        (f'[[memory]]\nstart = 0\nsize = "{"9" * 5000}"', "memory[0].size"),
        (GOOD + "length = 3", "memory[0].length"),
        (GOOD + "[machine]", "machine"),
        (GOOD + "[kernel]\nversion = '6.1'", "kernel.version"),
        (GOOD + "[kernel]\nrelease = 6.1", "kernel.release"),
        (GOOD + "[kernel]\nhibernation = 1", "kernel.hibernation"),
        (GOOD + "[kernel]\nmmu = ['hash']", "kernel.mmu"),
        ("kernel = 3\n" + GOOD, "kernel"),
        (GOOD + "[[event]]\nstart = 0\nsize = 1", "event[0].kind"),
        (GOOD + "[[event]]\nkind = 'move'\nstart = 0\nsize = 1", "event[0].kind"),
        (GOOD + "[faults]\nblock = [1, 'two']", "faults.block"),
        (GOOD + "[faults]\nblock = [[1]]", "faults.block"),
        (GOOD + "[faults]\ncrash_before_store = 'soon'", "faults.crash_before_store"),
        (GOOD + "[pages]\nseed = 1.5", "pages.seed"),
        (GOOD + "[dump]\ncpus = '4'", "dump.cpus"),
        ("", "memory"),
        ("[[memory", ""),
        ("a = 1\na = 2", ""),
        ("a = " + "[" * 100_000, ""),
        ("\0", ""),
    ],
)
def test_toml_that_describes_no_machine(text: str, field: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_spec(text)
    assert caught.value.field == field
    assert len(str(caught.value)) < 2000


words = st.sampled_from(
    [
        *(
            "[kernel]",
            "[[memory]]",
            "[[event]]",
            "[pages]",
            "[faults]",
            "[dump]",
            "[x]",
            "[memory]",
        ),
        *("release = ", "page_size = ", "mmu = ", "start = ", "size = ", "node = ", "kind = "),
        *("device = ", "altmap = ", "block = ", "cpus = ", "cache = ", "huge = ", "seed = "),
        *('"6.1"', '"64K"', '"hash"', '"add"', '"remove"', "true", "[1]", "[]", "{}", "0", "-1"),
        *("1.5", "nan", "inf", "1e400", '"64M"', '"1P"', '"0x10000000"', "0x40000000", str(HUGE)),
        *("1979-05-27T07:32:00Z", "'''", '"\\u0000"', "=", ",", "\n", "\n", "\n"),
    ]
)


@given(st.one_of(st.text(max_size=200), st.lists(words, max_size=40).map(" ".join)))
@example(GOOD)
@example(GOOD + "[kernel]\nblock_size = 0\n")
@settings(max_examples=examples(400))
def test_any_text_ends_in_a_machine_or_a_named_error(text: str) -> None:
    try:
        made: MachineSpec | SpecError = parse_spec(text)
    except SpecError as error:
        made = error
    if isinstance(made, SpecError):
        assert made.field or "TOML" in str(made)
    else:
        assert isinstance(made.check(), Kernel)


def memory_rows(count: int) -> str:
    """A spec's text: 32 MiB and so many ranges of 16 MiB above them."""
    rows = (f"[[memory]]\nstart={n + 2 << 24}\nsize={1 << 24}\n" for n in range(count))
    return f"[[memory]]\nstart=0\nsize={1 << 25}\n" + "".join(rows)


def test_text_is_read_in_proportion_to_its_length() -> None:
    few, many = (lines_of(partial(parse_spec, memory_rows(count))) for count in (100, 400))
    assert many < 4.2 * few
    with pytest.raises(SpecError, match="more than 4096"):
        parse_spec(memory_rows(5000))


def test_a_spec_is_checked_in_a_few_lines_for_each_event_and_range() -> None:
    def spec(ranges: int, events: int) -> MachineSpec:
        memory = (MemoryRange(0, n << 25, (1 + (n == 0)) << 24) for n in range(ranges))
        return MachineSpec(
            tuple(memory), events=tuple(add((2 * n + 3) << 24) for n in range(events))
        )

    for ranges, events in ((256, 1), (1024, 16), (256, 256)):
        lines = lines_of(spec(ranges, events).check)
        assert lines < 100 * (ranges + events) + 4 * events * (ranges + events)


def test_a_file_that_is_no_spec(tmp_path: Path) -> None:
    path = tmp_path / "machine.toml"
    for content, words_ in (
        (b"\xff\xfe", "UTF-8"),
        (b"# " + b"x" * (1 << 20), "1 MiB"),
        (b"memory =", "TOML"),
    ):
        path.write_bytes(content)
        with pytest.raises(SpecError, match=words_):
            load_spec(path)
    with pytest.raises(SpecError, match="cannot be read"):
        load_spec(tmp_path / "absent.toml")
    with pytest.raises(SpecError, match="cannot be read"):
        load_spec(tmp_path)
    path.write_text(GOOD)
    assert load_spec(path) == MachineSpec((MemoryRange(0, 0, 64 * M),))


@given(st.integers(0, 1 << 62), st.sampled_from(["", "K", "M", "G", "T", "P"]))
def test_sizes_in_words(number: int, unit: str) -> None:
    scale = 1 << 10 * " KMGTP".index(unit or " ")
    assert parse_size(f"{number}{unit}") == number * scale
    assert parse_size(f" {number} {unit}iB ") == number * scale
    assert parse_size(hex(number)) == number


@pytest.mark.parametrize(
    ("text", "value"), [("1.5G", 3 << 29), ("0.5K", 512), ("010", 10), ("0x10K", 16 << 10)]
)
def test_sizes_with_a_point_or_in_hexadecimal(text: str, value: int) -> None:
    assert parse_size(text) == value


@given(specs())
def test_the_specs_that_other_tests_draw_are_machines(spec: MachineSpec) -> None:
    assert spec.check().release == spec.release
