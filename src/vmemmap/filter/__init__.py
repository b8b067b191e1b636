"""A smaller dump out of a dump: which pages stay, and how those that do come into the new file."""
