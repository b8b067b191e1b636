"""The vmemmap command: one module for each subcommand."""
