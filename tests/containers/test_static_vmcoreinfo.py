"""Finding VMCOREINFO that lies on no page's beginning: static arrays up to 4.12, and its copies.

Where real kernels had it: 2.6.35 the note's text at 0x441b48, 4.9 at 0x4d6a88.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vmemmap
from breadth import examples, pairs, singles, trying
from builders.byte_order import Order
from builders.elf_core import Segment
from builders.flattened import build_flattened
from builders.machine import Machine, build_machine
from builders.notes import build_note, qemu_notes
from builders.vmcoreinfo import vmcoreinfo_text
from containers.vmlinux_file import build_vmlinux
from vmemmap.facts.vmcoreinfo import stored_memory, text_starts
from vmemmap.facts.vmcoreinfo.search import DEFAULT_EFFORT, Searched, SearchEffort, find_in_memory
from vmemmap.source.base import PhysicalSource

FREE = 0x800000
"""Physical memory behind the kernel's image and data that the machine does not use."""
FREE_BYTES = 0x40000
IMAGE = 0x48000
"""Inside the image, before the kernel's data."""
MACHINES: dict[str, tuple[Order, int, str]] = {
    "2.6.35": ("big", 4096, "2.6.35.6"),
    "4.9": ("little", 65536, "4.9.154"),
}
CONTAINERS = ["elf", "elf, a segment a page", "kdump", "kdump, 4 KiB", "flattened", "split"]
PLACES = {
    **{f"{at:#x}": IMAGE + at for at in (0x1B48, 0x1B49, 0x1B4A, 0x1B4B)},
    "the header over a border": IMAGE + 0x8000 - 8,
    "the name over a border": IMAGE + 0x8000 - 15,
    **{f"{key} bytes of the key": IMAGE + 0x8000 - 24 - key for key in range(1, 11)},
    "the text over a border": IMAGE + 0x8000 - 300,
    "its last byte over a border": IMAGE + 0x8000 - 24,
}
"""Physical addresses of notes; 0x50000 is a border of 4 and of 64 KiB."""

Search = Callable[..., Searched]


@pytest.fixture(params=MACHINES)
def machine(request: pytest.FixtureRequest) -> Machine:
    return build(request.param)


def build(name: str) -> Machine:
    """Build a machine with room in its image, and none of VMCOREINFO yet."""
    order, page_size, release = MACHINES[name]
    built = build_machine(
        byte_order=order, page_size=page_size, layout="f000", release=release, blocks=4
    )
    for phys, size in ((0x40000, 0x20000), (FREE, FREE_BYTES)):
        built.memory.reserve(phys, size)
        assert not any(built.memory.read(phys, size))
    built.clear_vmcoreinfo()
    return built


def write_dump(machine: Machine, container: str, path: Path) -> list[Path]:
    """Dump a machine without VMCOREINFO among the notes; gives the files."""
    notes = qemu_notes("big", memory_order=machine.byte_order)
    if container.startswith("elf"):
        segments = machine.segments()
        if "segment" in container:
            segments = [one for segment in segments for one in by_the_page(segment)]
        data = machine.elf(order="big", notes=notes, segments=segments)
    elif container == "split":
        size = machine.page_size
        middle, end = 0x50000 // size, max(machine.pages) + 1
        paths = [path.with_suffix(f".{member}") for member in (1, 2)]
        for one, span in zip(paths, ((0, middle), (middle, end)), strict=True):
            one.write_bytes(machine.kdump(notes=notes, utsname={}, split=span))
        return paths
    else:
        size = 4096 if "4 KiB" in container else machine.page_size
        data = machine.kdump(order="big", notes=notes, block_size=size, utsname={})
        data = build_flattened(data) if container == "flattened" else data
    path.write_bytes(data)
    return [path]


def by_the_page(segment: Segment) -> Iterator[Segment]:
    for at in range(0, len(segment.data), 0x10000):
        data = segment.data[at : at + 0x10000]
        paddr = segment.paddr + at
        yield Segment(paddr, data, len(data), vaddr=(0xC << 60) + paddr)


@pytest.fixture(params=["elf"])
def search(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Search]:
    """Give a function that dumps a machine and searches the dump."""
    opened: list[vmemmap.Vmcore] = []

    def run(machine: Machine, effort: SearchEffort = DEFAULT_EFFORT) -> Searched:
        paths = write_dump(machine, request.param, tmp_path / f"dump{len(opened)}")
        opened.append(vmemmap.open(*paths))
        return find_in_memory(opened[-1].source, effort=effort)

    yield run
    for core in opened:
        core.close()


def text_of(machine: Machine, **changes: str | None) -> bytes:
    """Give the text, at boot unless CRASHTIME is given; *changes* by symbol or by key."""
    values: dict[str, str | None] = dict(machine.vmcoreinfo) | {"CRASHTIME": None}
    for key, value in changes.items():
        values[f"SYMBOL({key})" if f"SYMBOL({key})" in values else key] = value
    return vmcoreinfo_text({key: value for key, value in values.items() if value is not None})


def note_of(machine: Machine, text: bytes) -> bytes:
    return build_note(b"VMCOREINFO", text, 0, machine.byte_order)


def put_utsname(machine: Machine, at: int, release: str) -> str:
    """Write a second kernel's init_uts_ns; gives its address as VMCOREINFO has it."""
    own = machine.memory.read(int(machine.vmcoreinfo["SYMBOL(init_uts_ns)"], 16) - (0xC << 60), 400)
    old = machine.release.encode().ljust(65, b"\0")
    assert old in own
    machine.memory.write(at, own.replace(old, release.encode().ljust(65, b"\0")))
    return f"{(0xC << 60) + at:x}"


CASES = pairs(product(CONTAINERS, MACHINES, PLACES))
FEW = singles(product(CONTAINERS, MACHINES, PLACES))


@pytest.mark.parametrize(("search", "machine", "place"), CASES, indirect=["search", "machine"])
def test_a_note_wherever_it_lies(search: Search, machine: Machine, place: str) -> None:
    at, text = PLACES[place], text_of(machine)
    machine.memory.write(at, note_of(machine, text))
    (found,) = search(machine).found
    assert (found.form, found.phys, found.text) == ("note", at, text)
    assert found.order == machine.byte_order


@pytest.mark.parametrize(("search", "machine", "place"), FEW, indirect=["search", "machine"])
def test_a_bare_text_wherever_it_lies(search: Search, machine: Machine, place: str) -> None:
    at, text = PLACES[place] + 24, text_of(machine)
    machine.memory.write(at, text)
    (found,) = search(machine).found
    assert (found.form, found.phys, found.text) == ("data", at, text)


@pytest.mark.parametrize("search", CONTAINERS, indirect=True)
def test_across_the_borders_of_what_is_read_at_once(
    search: Search, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches, stretches and windows of some 64 KiB: each border lies in a text's first word."""
    for size in (0x10000, 0x11000, 0x18000):
        monkeypatch.setattr(stored_memory, "BATCH_BYTES", size)
        monkeypatch.setattr(stored_memory, "_STRETCH_BYTES", 0x8000)
        monkeypatch.setattr(text_starts, "_WINDOW_BYTES", 0x4000)
        for border in (0x4C000, 0x50000, 0x51000, 0x58000):
            machine.memory.write(IMAGE, bytes(0x18000))
            machine.memory.write(border - 5, text_of(machine))
            with trying((size, border)):
                assert [found.phys for found in search(machine).found] == [border - 5]


@pytest.mark.parametrize("search", ["elf", "kdump"], indirect=True)
def test_what_a_crashed_kernel_before_3_5_wrote(search: Search, machine: Machine) -> None:
    """CRASHTIME is its last line, without a newline."""
    text = text_of(machine) + b"CRASHTIME=1795696204"
    machine.memory.write(IMAGE + 0x48, text)
    assert [found.text for found in search(machine).found] == [text]
    machine.memory.write(IMAGE + 0x2004, note_of(machine, text))
    (found,) = search(machine).found
    assert (found.form, found.text, found.crash_time) == ("note", text, 1795696204)


@pytest.mark.parametrize("end", [b"CRASHTIME=", b"CRASHTIM", b"CRASHTIME=17x", b"X=1"])
def test_another_line_must_be_finished(search: Search, machine: Machine, end: bytes) -> None:
    machine.memory.write(IMAGE + 0x48, text_of(machine) + end)
    assert search(machine).found == ()


@pytest.mark.parametrize("end", ["CRASHTIME=1795696204", "CRASHTIME=1795696204\n"])
def test_the_text_where_a_vmlinux_says(machine: Machine, tmp_path: Path, end: str) -> None:
    text = text_of(machine) + end.encode()
    machine.memory.write(IMAGE + 0x48, text)
    symbols = [(name, at, 8) for name, at in machine.symbols.items()]
    symbols.append(("vmcoreinfo_data", (0xC << 60) + IMAGE + 0x48, 4096))
    vmlinux = tmp_path / "vmlinux"
    vmlinux.write_bytes(build_vmlinux(symbols, order=machine.byte_order))
    (path,) = write_dump(machine, "elf", tmp_path / "dump")
    with vmemmap.open(path, vmlinux=vmlinux) as core:
        fact = core.facts["vmcoreinfo"]
        assert core.vmcoreinfo_text == text
        assert (fact.origin, fact.detail.split("; ")[1]) == (
            "user",
            f"where {vmlinux} says the kernel has it",
        )


def test_the_vmlinux_of_another_kernel(machine: Machine, tmp_path: Path) -> None:
    """On a dump without any text, memory still shows whose init_uts_ns it is."""
    at = int(machine.vmcoreinfo["SYMBOL(init_uts_ns)"], 16)
    (path,) = write_dump(machine, "elf", tmp_path / "dump")
    vmlinux = tmp_path / "vmlinux"

    def failure(virt: int, banner: str) -> vmemmap.FactError:
        vmlinux.write_bytes(
            build_vmlinux(
                [("init_uts_ns", virt, 8)],
                order=machine.byte_order,
                extra={".rodata": (1, f"Linux version {banner} (".encode())},
            )
        )
        with (
            vmemmap.open(path, vmlinux=vmlinux) as core,
            pytest.raises(vmemmap.FactError) as caught,
        ):
            _ = core.kernel
        return caught.value

    is_not = f"{vmlinux} is not the vmlinux of this dump's kernel: it is of release 3.2.0, and at "
    for virt, there in ((at, f"release {machine.release}"), (at + 0x40, "no utsname")):
        error = failure(virt, "3.2.0")
        assert isinstance(error, vmemmap.FactConflict)
        assert str(error) == is_not + f"its init_uts_ns ({virt:#x}) memory has {there}"
    assert isinstance(failure(at, machine.release), vmemmap.FactMissing)
    assert isinstance(failure((0xC << 60) + (1 << 40), "3.2.0"), vmemmap.FactMissing)


COPIES = [FREE + 0x10000, FREE + 0x13008, FREE + 0x2FFF3]
"""On a page's beginning, inside of one, over a border."""


def stale_texts(machine: Machine) -> dict[str, bytes]:
    """Texts that other kernels left in this one's memory."""
    image = int(machine.vmcoreinfo["SYMBOL(_stext)"], 16)
    return {
        "another release": text_of(machine, OSRELEASE="3.16.0-4-powerpc64"),
        "another build": text_of(machine, init_uts_ns=f"{image + 0x5000:x}"),
        "a root inside a page": text_of(machine, swapper_pg_dir=f"{image + 0x5008:x}"),
        "a root far away": text_of(machine, swapper_pg_dir=f"{image + (2 << 30):x}"),
        "an image behind its utsname": text_of(machine, _stext=f"{image + (1 << 30):x}"),
        "an image at no linear address": text_of(machine, _stext="d000000000000000"),
        "no crash time": text_of(machine) + b"CRASHTIME=",
    }


@pytest.mark.parametrize("kind", [*stale_texts(build_machine(blocks=4))])
@pytest.mark.parametrize("search", ["elf", "kdump, 4 KiB"], indirect=True)
def test_a_stale_copy_is_nothing(search: Search, machine: Machine, kind: str) -> None:
    stale = stale_texts(machine)[kind]
    for at in COPIES:
        machine.memory.write(at, note_of(machine, stale))
    machine.memory.write(IMAGE + 0x1001, stale)
    assert search(machine).found == ()
    own = note_of(machine, text_of(machine))
    machine.memory.write(IMAGE + 0x3004, own)
    assert [found.phys for found in search(machine).found] == [IMAGE + 0x3004]


@pytest.mark.parametrize("search", ["elf", "kdump"], indirect=True)
def test_another_build_that_is_borne_out_in_part_does_not_end_the_search(search: Search) -> None:
    """Two of its pointers are pointers, one is zero; it lies where the search begins."""
    machine = build("4.9")
    names = ("log_buf", "mem_section", "vmemmap_list")
    for name in names:
        at = int(machine.vmcoreinfo[f"SYMBOL({name})"], 16)
        machine.poke_u64(at, 0xC000000000200000)
        machine.poke_u64(at + 0x20, 0xC000000000300000 if name != "log_buf" else 0)
    moved = {name: f"{int(machine.vmcoreinfo[f'SYMBOL({name})'], 16) + 0x20:x}" for name in names}
    machine.memory.write(0x50000, note_of(machine, text_of(machine, **moved)))
    machine.memory.write(IMAGE + 0x9004, note_of(machine, text_of(machine)))
    first, second = search(machine).found
    assert (first.phys, second.phys) == (IMAGE + 0x9004, 0x50000)
    assert first.agreement > second.agreement > 0


def other_build(machine: Machine, crash_time: str | None) -> bytes:
    """Give the text of a kernel with the same release, whose variables lay elsewhere."""
    lost = {
        name: f"{int(machine.vmcoreinfo[f'SYMBOL({name})'], 16) + 0x20:x}"
        for name in ("log_buf", "mem_section")
    }
    return text_of(machine, CRASHTIME=crash_time, **lost)


@pytest.mark.parametrize("crash_time", [None, "1795000000"], ids=["running", "crashed"])
@pytest.mark.parametrize("other", [IMAGE + 0x1004, FREE + 0x10000], ids=["in front", "behind"])
@pytest.mark.parametrize("search", ["elf", "kdump"], indirect=True)
def test_of_two_builds_the_one_that_memory_bears_out(
    search: Search, machine: Machine, other: int, crash_time: str | None
) -> None:
    log_buf = int(machine.vmcoreinfo["SYMBOL(log_buf)"], 16)
    machine.poke_u64(log_buf, 0xC000000000200000)
    machine.poke_u64(log_buf + 0x20, 1)
    own = IMAGE + 0x2004
    machine.memory.write(own, note_of(machine, text_of(machine)))
    machine.memory.write(other, note_of(machine, other_build(machine, crash_time)))
    assert search(machine).found[0].phys == own


def test_copies_of_the_kernels_own_text_are_one_kernel(search: Search, machine: Machine) -> None:
    """A vmcore of it in the page cache, a freed buffer, a text cut short at a line's end."""
    own = text_of(machine)
    vmcore = b"\x7fELF" + bytes(700) + note_of(machine, text_of(machine, CRASHTIME="1795000000"))
    machine.memory.write(FREE + 0x10000, vmcore)
    machine.memory.write(FREE, note_of(machine, text_of(machine, CRASHTIME="1795000001")))
    machine.memory.write(FREE + 0x4008, own[: own.index(b"SYMBOL(log_buf)")])
    machine.memory.write(IMAGE + 0x3004, note_of(machine, own))
    (found,) = search(machine).found
    assert (found.phys, found.text) == (IMAGE + 0x3004, own)


INSIDE_A_PAGE = st.integers(0, 0xDFFF).filter(lambda at: at % 4096 not in (0, 24))
PLACE = st.integers(0, FREE_BYTES - 0x2000)
COPY = st.tuples(PLACE, st.booleans(), st.sampled_from([*stale_texts(build_machine(blocks=4)), ""]))


@settings(max_examples=examples(100))
@given(own=INSIDE_A_PAGE, copies=st.lists(COPY, max_size=6), form=st.booleans())
def test_no_copy_anywhere_hides_the_kernels_own(
    own: int, copies: list[tuple[int, bool, str]], form: bool
) -> None:
    """Stale texts and later copies of its own, as notes or bare, over each other or not."""
    machine = build("4.9")
    stale = stale_texts(machine) | {"": text_of(machine, CRASHTIME="1795000000")}
    for at, as_note, kind in copies:
        text = stale[kind]
        machine.memory.write(FREE + at, note_of(machine, text) if as_note else text + b"\0")
    text = text_of(machine)
    machine.memory.write(IMAGE + own, note_of(machine, text) if form else text)
    with TemporaryDirectory() as folder:
        paths = write_dump(machine, "elf", Path(folder) / "dump")
        with vmemmap.open(*paths) as core:
            found = find_in_memory(core.source).found[0]
    assert (found.phys, found.text) == (IMAGE + own, text)


@pytest.mark.parametrize("capture", [0x2000000, 0x18000000], ids=["32 MiB", "384 MiB"])
@pytest.mark.parametrize("release", ["its own", "4.4.0-1-powerpc64"])
def test_a_capture_kernel_beside_the_crashed_one(
    search: Search, machine: Machine, capture: int, release: str
) -> None:
    release = machine.release if release == "its own" else release
    symbols = dict.fromkeys(("vmemmap_list", "log_buf", "mem_section", "node_data")) | {
        "_stext": f"{(0xC << 60) + capture:x}"
    }
    uts = put_utsname(machine, capture + 0x3F80, release)
    root = f"{(0xC << 60) + capture + 0x10000:x}"
    text = text_of(machine, OSRELEASE=release, init_uts_ns=uts, swapper_pg_dir=root, **symbols)
    machine.memory.write(capture + 0x1234, note_of(machine, text))
    crashed = text_of(machine) + b"CRASHTIME=1795696204"
    machine.memory.write(IMAGE + 0x2004, note_of(machine, crashed))
    first, second = search(machine).found
    assert (first.phys, first.image_phys, first.text) == (IMAGE + 0x2004, 0, crashed)
    assert (second.phys, second.image_phys) == (capture + 0x1234, capture)
    assert str(second) == (
        f"the note at {capture + 0x1234:#x} of kernel {release}, whose image is at {capture:#x}"
    )
    machine.memory.write(IMAGE + 0x2004, bytes(len(crashed) + 24))
    assert [found.phys for found in search(machine).found] == [capture + 0x1234]


def test_the_fact_tells_of_the_other_kernel(machine: Machine, tmp_path: Path, run_vmemmap) -> None:
    uts = put_utsname(machine, 0x2003F80, "4.4.0-1-powerpc64")
    text = text_of(
        machine,
        OSRELEASE="4.4.0-1-powerpc64",
        init_uts_ns=uts,
        _stext="c000000002000000",
        swapper_pg_dir="c000000002010000",
    )
    machine.memory.write(0x2001234, note_of(machine, text))
    machine.memory.write(
        IMAGE + 0x2004, note_of(machine, text_of(machine) + b"CRASHTIME=1795696204")
    )
    (path,) = write_dump(machine, "elf", tmp_path / "dump")
    with vmemmap.open(path) as core:
        fact = core.facts["vmcoreinfo"]
    assert fact.detail == (
        f"not in the dump's headers; the kernel's note found at {IMAGE + 0x2004:#x}; memory also "
        "has the note at 0x2001234 of kernel 4.4.0-1-powerpc64, whose image is at 0x2000000 "
        "(--assume kernel=2 takes it)"
    )
    with vmemmap.open(path, assume={"kernel": "2"}) as core:
        assert core.vmcoreinfo_text == text
        assert core.facts["release"].value == "4.4.0-1-powerpc64"
        assert core.facts["vmcoreinfo"].detail == (
            "the note at 0x2001234 of kernel 4.4.0-1-powerpc64, whose image is at 0x2000000, as "
            f"--assume kernel=2 says; not the note at {IMAGE + 0x2004:#x} of kernel "
            f"{machine.release}, crashed"
        )
    ran = run_vmemmap("info", path, "--assume", "kernel=3")
    assert ran.code == 3
    assert "no VMCOREINFO of a kernel 3 in this dump" in ran.err
    assert "2 is the note at 0x2001234" in ran.err


def test_the_headers_are_of_one_kernel_and_memory_has_another(
    machine: Machine, tmp_path: Path
) -> None:
    """As the capture kernel's own vmcore would be, or a dump of it that its host made."""
    text = text_of(machine) + b"CRASHTIME=1795696204"
    machine.memory.write(IMAGE + 0x2004, note_of(machine, text))
    path = tmp_path / "dump"
    path.write_bytes(machine.elf())
    with vmemmap.open(path) as core:
        assert core.facts["vmcoreinfo"].detail == "in the dump's headers"
    with vmemmap.open(path, assume={"kernel": "2"}) as core:
        assert core.vmcoreinfo_text == text
        assert core.facts["vmcoreinfo"].detail.endswith("; not the one in the dump's headers")


class TestEffort:
    """The search ends by the work it has done."""

    def test_page_heads(self, search: Search, machine: Machine) -> None:
        few = SearchEffort(page_heads=8)
        assert search(machine, effort=few) == Searched(())  # low memory is looked at whole
        machine.memory.write((4 << 30) + 0x100000, text_of(machine))
        assert search(machine, effort=few) == Searched((), "pages of 4 KiB beyond the first 8")
        assert [found.phys for found in search(machine).found] == [(4 << 30) + 0x100000]

    def test_candidates(self, search: Search, machine: Machine) -> None:
        for at in range(FREE, FREE + FREE_BYTES, 64):
            machine.memory.write(at, b"OSRELEASE=1\n")
        assert search(machine).unseen == "places that look like it beyond the first 1024"

    def test_it_is_said(self, machine: Machine, tmp_path: Path, run_vmemmap) -> None:
        for at in range(FREE, FREE + FREE_BYTES, 64):
            machine.memory.write(at, b"OSRELEASE=1\n")
        (path,) = write_dump(machine, "elf", tmp_path / "dump")
        ran = run_vmemmap("list", path)
        assert ran.code == 3
        assert "(not looked at: places that look like it beyond the first 1024)" in ran.err


@pytest.mark.parametrize("container", CONTAINERS)
def test_stored_batches_are_the_memory(
    machine: Machine, container: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every byte that can be read comes once, by rising address; what cannot be read does not."""
    monkeypatch.setattr(stored_memory, "BATCH_BYTES", 0x30000)
    monkeypatch.setattr(stored_memory, "_STRETCH_BYTES", 0x18000)
    machine.exclude(FREE + 0x20000, 0x10000)
    within = vmemmap.address.Run(0x1800, FREE + 0x31800)
    with vmemmap.open(*write_dump(machine, container, tmp_path / "dump")) as core:
        got: dict[int, bytes] = {}
        end = 0
        for batch in stored_memory.stored_batches(core.source, within):
            for stretch in batch.stretches:
                assert end <= stretch.phys
                end = stretch.phys + len(stretch.data)
                for at in range(stretch.phys, end, 0x800):
                    got[at] = bytes(stretch.data[at - stretch.phys :][:0x800])
            assert end <= batch.end
        wanted = {at: read_or_none(core.source, at) for at in range(*within_steps(within))}
    assert got == {at: data for at, data in wanted.items() if data is not None}


def within_steps(within: vmemmap.address.Run) -> tuple[int, int, int]:
    return within.start, within.end, 0x800


def read_or_none(source: PhysicalSource, at: int) -> bytes | None:
    try:
        return source.read(at, 0x800)
    except vmemmap.ReadError:
        return None
