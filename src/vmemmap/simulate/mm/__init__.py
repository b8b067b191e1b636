"""The kernel's memory management, by its own names: sections, vmemmap, list, tables, pages."""
