"""The kernel's symbols by name and by address: of the user's vmlinux, else of the kernel itself.

How kallsyms is read stands in ``symbols/kallsyms.py``, what a vmlinux has in ``vmlinux.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmemmap.established import established
from vmemmap.facts.kernel import KernelFacts
from vmemmap.facts.symbols.descriptors import DESCRIPTOR_SUFFIX, code_in_memory
from vmemmap.facts.symbols.table import Symbol, SymbolHit, SymbolTable, resolve_symbol

if TYPE_CHECKING:
    from vmemmap.facts.vmlinux import SymbolFile


class KernelSymbols:
    """The symbols of one dump's kernel, without those of modules.

    Args:
        kernel: Facts about the kernel.
        vmlinux: Named by the user, or None.
    """

    def __init__(self, kernel: KernelFacts, vmlinux: SymbolFile | None) -> None:
        self._kernel, self._vmlinux = kernel, vmlinux

    @established
    def table(self) -> SymbolTable:
        """All of them: of the user's vmlinux, else those that the kernel carries in itself."""
        if self._vmlinux is not None and self._vmlinux.has_symbols:
            self._kernel.check_vmlinux(self._vmlinux)
            return self._vmlinux.table
        return self.own

    @established
    def own(self) -> SymbolTable:
        """The symbols that the kernel carries in itself."""
        from vmemmap.facts.symbols.kallsyms import read_kallsyms

        return read_kallsyms(self._kernel.vmcoreinfo, self._kernel.memory)

    def find(self, name: str) -> Symbol:
        """Give the symbol of a name; a function's is its code. Errors as for `Vmcore.symbol`."""
        found = resolve_symbol(name, self._kernel.vmcoreinfo, lambda: self.table)
        code = self._code_of(found)
        return Symbol(name, code, 0) if code else found

    def at(self, virt: int) -> SymbolHit | None:
        """Give the symbol to which an address in the kernel's image belongs."""
        hit = self.table.at(virt)
        if hit is None or not self._code_of(hit.symbol):
            return hit
        name = hit.name + DESCRIPTOR_SUFFIX
        return SymbolHit(Symbol(name, hit.symbol.address, hit.size), hit.offset)

    def _code_of(self, symbol: Symbol) -> int:
        if self._vmlinux is None or not self._vmlinux.lacks_descriptors:
            return 0
        return code_in_memory(symbol, self.table, self._kernel.memory)
