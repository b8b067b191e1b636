"""The kernel's symbols: a table of them, and kallsyms in the dump."""
