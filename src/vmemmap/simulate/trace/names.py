"""What the kernel would call the word at an address: a variable, a node's member, a section."""

from __future__ import annotations

from vmemmap.simulate.memory.image import image_of
from vmemmap.simulate.mm.backing_list import LIST_AT, NODE_BYTES, PHYS_AT, VIRT_ADDR_AT
from vmemmap.simulate.mm.sparsemem import SparseMem

MEMBERS = {LIST_AT: "list", PHYS_AT: "phys", VIRT_ADDR_AT: "virt_addr"}


class Names:
    """Names of the words that the tracking and the section table consist of.

    Attributes:
        pages: Physical addresses of the pages of nodes.
    """

    def __init__(self, sparsemem: SparseMem, page_size: int) -> None:
        self._sparsemem = sparsemem
        self._page_size = page_size
        self.pages: set[int] = set()
        variables = image_of(sparsemem.kernel).phys.items()
        self._variables = {phys: name for name, phys in variables}

    def node_at(self, phys: int) -> int | None:
        """Give where the node begins that a word belongs to, or None for a word of no node."""
        page = phys // self._page_size * self._page_size
        if page not in self.pages:
            return None
        return page + (phys - page) // NODE_BYTES * NODE_BYTES

    def slot(self, node: int) -> int:
        """Tell which node of its page one is."""
        return node % self._page_size // NODE_BYTES

    def name(self, phys: int) -> str:
        """Name a word; of a node only the member, and of a section without its number."""
        if (node := self.node_at(phys)) is not None:
            return f"node.{MEMBERS[phys - node]}"
        if phys in self._variables:
            return self._variables[phys]
        roots = self._sparsemem.roots_phys
        if roots <= phys < roots + 8 * self._sparsemem.length:
            return "mem_section[root]"
        return "section_mem_map"
