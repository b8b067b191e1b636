"""How the documentation is built: `make docs`, with warnings as errors."""

from __future__ import annotations

import os
import sys
from importlib.metadata import version as installed_version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # for the pages that are made from the package

import made_pages

project = "vmemmap"
author = "the vmemmap authors"
copyright = "the vmemmap authors, LGPL-2.1-or-later"  # the name that Sphinx reads  # noqa: A001
version = release = installed_version("vmemmap")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_click"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["speed.json"]
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
nitpicky = False
suppress_warnings = ["myst.xref_missing"]  # links to files of the repository beside docs/

# Links into the documentation of others need its index. Where Debian's packages of it are installed
# theirs is taken, so that a build needs no network; VMEMMAP_INTERSPHINX has all of them fetched.
_OTHERS = {
    "python": ("https://docs.python.org/3/", "python3-doc/html"),
    "numpy": ("https://numpy.org/doc/stable/", "python-numpy/html"),
    "pyarrow": ("https://arrow.apache.org/docs/", None),
    "drgn": ("https://drgn.readthedocs.io/en/latest/", None),
}
_INDEXES = {
    name: Path("/usr/share/doc", folder, "objects.inv") if folder else None
    for name, (_, folder) in _OTHERS.items()
}
intersphinx_mapping = {
    name: (_OTHERS[name][0], str(index) if index and index.exists() else None)
    for name, index in _INDEXES.items()
    if (index and index.exists()) or os.environ.get("VMEMMAP_INTERSPHINX")
}
extensions += ["sphinx.ext.intersphinx"] * bool(intersphinx_mapping)

html_theme = "furo"
html_title = "vmemmap"
html_static_path: list[str] = []

HERE = Path(__file__).parent
made_pages.write_all(HERE / "made", HERE.parent / "build" / "demo" / "vmcore")
man_pages = made_pages.man_pages()
