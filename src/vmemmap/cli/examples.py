"""Two worked examples for each command, which its help ends with; a test runs them all.

They work in a folder with a dump called ``vmcore``, as ``vmemmap demo --keep .`` leaves one.
"""

from __future__ import annotations

EXAMPLES: dict[str, tuple[tuple[str, str], tuple[str, str]]] = {
    "info": (
        ("info vmcore", "what it is, what ran, how it ended"),
        ("info vmcore --format json", "the same for a program"),
    ),
    "check": (
        ("check vmcore", "is the list sound, and what does it reach?"),
        ("check vmcore --rescue --format junit", "with what can be found of it, for a CI job"),
    ),
    "explain": (
        ("explain list_cycle", "what this finding means, and what to do"),
        ("explain", "all findings that there are"),
    ),
    "dmesg": (
        ("dmesg -T vmcore", "the log, with dates"),
        ("dmesg --level emerg,alert,crit,err vmcore", "only what is bad"),
    ),
    "usage": (
        ("usage vmcore", "where the memory is"),
        ("usage vmcore --format csv", "the counts by node, zone and kind"),
    ),
    "list": (
        ("list vmcore", "the list, newest block first"),
        ("list vmcore --format crash", "the lines of crash's 'help -m'"),
    ),
    "vtop": (
        ("vtop vmcore 0xc00c000000170040", "where a struct page lies"),
        ("vtop vmcore vmemmap_list", "where a variable does"),
    ),
    "ptov": (
        ("ptov vmcore 0x7fdc0000", "the linear map, and the vmemmap"),
        ("ptov vmcore pfn:23552", "of a page"),
    ),
    "page": (
        ("page vmcore 23552", "a page by its pfn"),
        ("page vmcore 0xc00c000000170040", "by the address of its struct page"),
    ),
    "pages": (
        ("pages vmcore -o pages.parquet", "all struct pages, as a table"),
        ("pages vmcore --kind slab --node 1 --fields pfn,flags", "some, as CSV to a pipe"),
    ),
    "read": (
        ("read vmcore vmemmap_list -w 8", "memory in words of 8 bytes"),
        ("read vmcore pfn:1 -o page.bin", "a page into a file"),
    ),
    "drgn": (
        ("drgn -e 'print(prog.platform)' vmcore", "a line of Python, with prog"),
        ("drgn -e 'print(core.usage())' vmcore", "and with core; without -e a shell"),
    ),
    "filter": (
        ("filter vmcore -o small -d 31", "without what most do not need"),
        ("filter vmcore --dry-run", "how large that would be"),
    ),
    "extract": (
        ("extract vmcore -o shared", "a dump to share, with nobody's data"),
        ("extract vmcore -o other --format json", "and what is in it, for a program"),
    ),
    "report": (
        ("report vmcore -o vmcore.html", "the dump as a page for a browser"),
        ("report before after -o changes.html", "what is different in a later dump"),
    ),
    "survey": (
        ("survey vmcore -o fleet", "one dump; a folder, a pattern or a prefix of a store is many"),
        ("survey --show fleet", "what is known of all that were asked"),
    ),
    "simulate": (
        ("simulate -o made --memory 1G", "a machine of 1 GiB, crashed"),
        ("simulate --explain-era 5.4", "what the model holds for a release"),
    ),
    "demo": (
        ("demo", "every step on a machine that is simulated"),
        ("demo --keep somewhere", "and leave the dump there"),
    ),
}
"""For each command: what stands after ``vmemmap``, and what it gives."""


def help_of(name: str) -> str | None:
    """Give what the help of a command ends with, for Click; None if there is no example of it."""
    if name not in EXAMPLES:
        return None
    lines = [f"  vmemmap {words}\n      {meaning}" for words, meaning in EXAMPLES[name]]
    return "\b\nExamples:\n" + "\n".join(lines)  # Click leaves such a paragraph as it stands
