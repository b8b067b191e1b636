"""The facts that a user may give, and every value that each can have."""

from __future__ import annotations

from vmemmap.facts.mmu import HASH, RADIX
from vmemmap.translate.page_tables.choice import FACT as PAGE_TABLE
from vmemmap.translate.page_tables.choice import FORMATS
from vmemmap.translate.regions import BOOK3E, LAYOUTS

ASSUMABLE: dict[str, tuple[str, ...]] = {
    "kernel": ("1", "2", "3", "4"),
    "memory_byte_order": ("little", "big"),
    "mmu": (HASH, RADIX),
    "layout": tuple(row.name for row in LAYOUTS if row.mmus != BOOK3E),
    PAGE_TABLE: tuple(form.name for rows in FORMATS.values() for form in rows),
}
