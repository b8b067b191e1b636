"""Dump writers: given runs and their bytes, they know nothing of the vmemmap."""
