"""Builders of synthetic PowerPC64 crash dumps, in memory, for tests.

Written from the format documents alone. Nothing here may import ``vmemmap``: the point of these
files is to be a second witness beside the readers and writers of the package.
"""
