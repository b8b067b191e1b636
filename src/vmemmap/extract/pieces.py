"""All that an extract shows of a dump, class by class, but for struct pages.

Each part is found as the readers of the other layers find it; what cannot be found is named.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass, field

from vmemmap.dump import Dump
from vmemmap.errors import FactError, ReadError
from vmemmap.extract.classes import Shown
from vmemmap.extract.crash_pieces import show_for_crash
from vmemmap.extract.image import Image
from vmemmap.extract.kernel_data import KernelPieces
from vmemmap.extract.log_pieces import show_log
from vmemmap.extract.scrub import Scrubber
from vmemmap.extract.tables import show_tables
from vmemmap.facts.symbols.kallsyms import kallsyms_parts
from vmemmap.facts.types.in_dump import own_types_parts
from vmemmap.facts.uts import FIELD_BYTES, FIELDS


@dataclass(slots=True)
class Pieces:
    """What was found.

    Attributes:
        image: The pieces.
        missing: What answers given on the extract may lack, in words.
        scrubbed: How many places of the log were changed, by kind.
    """

    image: Image = field(default_factory=Image)
    missing: list[str] = field(default_factory=list)
    scrubbed: dict[str, int] = field(default_factory=dict)


def gather(dump: Dump, classes: Collection[Shown], *, hide_addresses: bool) -> Pieces:
    """Find all that is shown, but for struct pages.

    Args:
        dump: The dump.
        classes: Those of `OPTIONAL` that are wanted.
        hide_addresses: Leave out pointers that no reader follows.
    """
    found = Pieces()
    kernel = dump.kernel
    show = KernelPieces(found.image, kernel.memory, dump.source, hide_addresses=hide_addresses)
    with suppress(ReadError):
        show.show_utsname(kernel)
    show.show_list_facts(dump.list_facts, kernel)
    hidden = show.show_nodes_of_list(
        dump.backing, dump.list_facts.node_layout.size, kernel.page_size.value
    )
    if hidden:
        found.missing.append(f"{hidden} nodes of the list lie where no other node is")
    show.show_sections(dump.mem_section, dump.evidence.vmemmap_base.value)
    pages = dump.pages
    with suppress(FactError):
        lists = not pages.exclusions.knowledge.reads_free_marks
        show.show_numa_nodes(
            *(kernel, pages.pgdat_layout, pages.nodes, pages.layout.orders), lists=lists
        )
    show.show_areas(kernel.vmcoreinfo, dump.evidence.layout)
    form = dump.tables.format[0]
    lost = show_tables(found.image, dump.source, kernel.root_table_phys, form, kernel.order)
    if lost:
        found.missing.append(f"{lost} page tables, which the dump lacks in part, or which are none")
    _show_more(dump, show, found, classes, hide_addresses=hide_addresses)
    of_types = [fact.name for fact in dump.typed_facts]
    if of_types and Shown.TYPES not in classes:
        found.missing.append(
            f"the kernel's types, from which it is known: {', '.join(of_types)} (--with types has "
            "those that the dump has in itself)"
        )
    return found


def _show_more(
    dump: Dump,
    show: KernelPieces,
    found: Pieces,
    classes: Collection[Shown],
    *,
    hide_addresses: bool,
) -> None:
    """Show what was asked for; what cannot be is named."""

    def parts(shown: Shown, find: Callable[[], Iterable[tuple[int, int]]]) -> None:
        for virt, size in find():
            show.show(virt, size, shown)

    def log() -> None:
        scrubber = Scrubber(machine_names(dump), hide_addresses=hide_addresses)
        show_log(show, dump.kernel.vmcoreinfo, scrubber)
        found.scrubbed = {kind.value: count for kind, count in sorted(scrubber.counts.items())}

    def symbols() -> None:
        parts(Shown.SYMBOLS, lambda: kallsyms_parts(dump.kernel.vmcoreinfo, show.memory))

    def types() -> None:
        parts(Shown.TYPES, lambda: own_types_parts(dump.symbols.own, show.memory))

    def for_crash() -> None:
        show_for_crash(
            *(show, dump.symbols.table, dump.kernel.types, dump.kernel.vmcoreinfo),
            *(dump.pages.nodes, dump.pages.pgdat_layout),
        )

    for shown, name, make in (
        (Shown.CRASH, "what crash reads", for_crash),
        (Shown.DMESG, "the kernel's log", log),
        (Shown.SYMBOLS, "the kernel's symbols", symbols),
        (Shown.TYPES, "the kernel's types", types),
    ):
        if shown in classes:
            try:
                make()
            except FactError as error:
                found.missing.append(f"{name}: {error}")


def machine_names(dump: Dump) -> list[bytes]:
    """Give the names of the machine and its domain, as the dump has them in several places."""
    uts = dump.kernel.utsname
    found = []
    for raw in (uts.raw if uts else b"", dump.source.utsname):
        texts = [raw[at : at + FIELD_BYTES] for at in range(0, len(raw), FIELD_BYTES)]
        for name, text in zip(FIELDS, texts, strict=False):
            if name in ("nodename", "domainname"):
                found.append(text.split(b"\0")[0])
    return [name for name in dict.fromkeys(found) if name not in (b"", b"(none)", b"localhost")]
