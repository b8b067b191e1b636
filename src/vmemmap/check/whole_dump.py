"""Everything that `check` says of a dump: the list, what it is judged by, and what it reaches.

Wires the audit (``check/audit.py``) to what only the pages layer knows, the sections and nodes.
What a reader of the dump would stop at becomes a finding here, as far as it concerns the list.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vmemmap.backing.list_eras import may_leave_removed
from vmemmap.backing.rescue import kernel_image, start_search
from vmemmap.backing.rescue_nodes import find_nodes
from vmemmap.backing.table import BackingTable
from vmemmap.check.audit import AuditContext, audit_coverage, audit_list
from vmemmap.check.checked_dump import CheckedDump
from vmemmap.check.coverage import Coverage
from vmemmap.check.reach import Reach
from vmemmap.check.sharing import audit_sharing
from vmemmap.errors import FactConflict, FactError, FactMissing, ReadError
from vmemmap.facts.mmu import radix_from_vmcoreinfo
from vmemmap.findings import Finding, Severity
from vmemmap.units import count_text

_ENTRIES_COMPARED = 64
_SHOWN = 8
_CODES = {"mmu_vmemmap_psize": "psize_index", "block_size": "psize_shift", "layout": "mmu_conflict"}
"""Facts that make the list unusable, and the finding that says so."""


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What `check` found.

    Attributes:
        findings: What the file itself lacks, from which others follow; then the worst first, those
            of the same severity in the order in which they were met.
        coverage: What of the memory the list reaches, with what was rescued of it; None where that
            cannot be told.
        listed: The same without what was rescued; None where nothing was.
        entries: How many entries the list has, as far as it goes.
        rescued: How many more were found in the rest of the dump.
    """

    findings: tuple[Finding, ...]
    coverage: Coverage | None
    listed: Coverage | None
    entries: int
    rescued: int

    def __repr__(self) -> str:
        """Give the list's size, the first findings, and what of the memory it reaches."""
        more = f", {self.rescued} of them rescued" if self.rescued else ""
        count = len(self.findings)
        title = f"CheckReport: {count_text(self.entries + self.rescued, 'entry')}{more}"
        lines = [f"{title}, {count_text(count, 'finding')}"]
        lines += [f"  {finding}" for finding in self.findings[:_SHOWN]]
        lines += [f"  ... and {count - _SHOWN} more"] * (count > _SHOWN)
        if self.coverage is not None:
            lines.append(f"  {self.coverage!r}")
        return "\n".join(lines)


def check_dump(dump: CheckedDump) -> CheckReport:
    """Check the list of a dump.

    Raises:
        FactError: The dump does not say so much as where the list is.
    """
    return _Check(dump).report()


class _Check:
    """One check under way."""

    def __init__(self, dump: CheckedDump) -> None:
        self._dump = dump
        self._kernel = dump.kernel
        self._findings: list[Finding] = []
        self._page_size = dump.kernel.page_size.value
        self._reach = Reach(dump, self._findings)

    def report(self) -> CheckReport:
        table = self._list()
        base = self._base(table)
        coverage = listed = None
        if base is not None:
            coverage = self._beside(table, base)
            if table is not None:
                self._against_mmu(table)
                if coverage is not None and len(coverage.bare):
                    self._unlinked(table, base)
        entries = 0 if table is None else len(table)
        rescued = 0
        if table is not None and base is not None:
            whole = self._dump.backing
            rescued = int(np.count_nonzero(whole.rescued))
            if rescued:
                listed, coverage = coverage, self._reach.measure(whole, base)
        order = (Severity.ERROR, Severity.WARNING, Severity.INFO)
        ranked = sorted(self._findings, key=lambda finding: order.index(finding.severity))
        return CheckReport((*self._lacks(), *ranked), coverage, listed, entries, rescued)

    def _lacks(self) -> tuple[Finding, ...]:
        """Say what the file lacks, which the rest mostly follows from."""
        note = self._dump.extract_note
        extract = () if note is None else (Finding("extract", Severity.INFO, f"this is {note}"),)
        return extract + tuple(
            Finding("dump_incomplete", Severity.WARNING, str(loss), phys=loss.first_phys)
            for loss in self._dump.source.losses(everywhere=True)
        )

    def _list(self) -> BackingTable | None:
        """Give the list, or None where something that everything depends on is damaged."""
        try:
            table = self._dump.listed
            self._findings += self._dump.findings
            if table.block_size:
                self._sizes()
            return table
        except FactError as error:
            # What VMCOREINFO lacks altogether is no damage of the list.
            unreadable = isinstance(error, FactMissing) and error.name == "vmemmap_list"
            code = "list_head_unreadable" if unreadable else _CODES.get(error.name)
            if code is None:
                raise
            self._note(code, Severity.ERROR, f"{error}; the list cannot be used")
            return None

    def _sizes(self) -> None:
        """Name a damaged block size that a rescue has done without."""
        try:
            _ = self._dump.list_facts.block_size
        except FactError as error:
            self._note(_CODES.get(error.name, "psize_shift"), Severity.ERROR, str(error))

    def _base(self, table: BackingTable | None) -> int | None:
        """Give where the vmemmap begins, by mem_section if by nothing else."""
        try:
            return self._dump.evidence.vmemmap_base.value
        except FactError as error:
            conflict = isinstance(error, FactConflict)
            if conflict:
                self._note("mmu_conflict", Severity.ERROR, str(error))
            first = str(error)
        try:
            return self._dump.mem_section.map_base()
        except (FactError, ReadError):
            if not conflict and not self._out_of_reach(table):
                self._note("base_unknown", Severity.WARNING, f"{first}; nothing can be compared")
            return None

    def _out_of_reach(self, table: BackingTable | None) -> bool:
        """Tell whether a finding says that nothing of the list can be read, and so the reason."""
        unread = {"list_head_unreadable", "node_unreadable"}
        empty = table is None or not len(table)
        return empty and any(finding.code in unread for finding in self._findings)

    def _beside(self, table: BackingTable | None, base: int) -> Coverage | None:
        """Judge the list beside the sections, and count what it reaches."""
        try:
            size = self._kernel.struct_page_size.value
        except FactError as error:
            self._note("struct_page_size", Severity.WARNING, f"{error}; nothing can be compared")
            return None
        sections = self._reach.sections(table, base)
        context = AuditContext(
            source=self._dump.source,
            page_size=self._page_size,
            node_size=24 if table is None else self._dump.list_facts.node_layout.size,
            base=base,
            struct_page_size=size,
            sections=sections if sections and sections.origin == "mem_section" else None,
            image=kernel_image(self._kernel),
            leaves_removed=may_leave_removed(self._kernel.parsed_release),
            complete=self._dump.walk.complete if table is not None else False,
            lost_table=self._reach.lost_table,
        )
        if table is not None:
            self._findings += audit_list(table, context)
            self._findings += self._dump.elsewhere()
        coverage = self._reach.measure(table, base)
        if sections is not None and (table is None or not table.usable.any()):
            self._findings += audit_sharing(
                self._reach.backed(table, sections, base, size), context
            )
        if table is not None and coverage is not None:
            self._findings += audit_coverage(table, coverage, context)
        return coverage

    def _against_mmu(self, table: BackingTable) -> None:
        """Compare a list with the page tables, where VMCOREINFO says that the MMU was radix.

        Kernels that say so keep no list on radix, unless a distributor has mixed them; then the
        page tables say the same.
        """
        try:
            if not radix_from_vmcoreinfo(self._kernel.vmcoreinfo) or not len(table):
                return
        except FactError:
            return
        rows = np.flatnonzero(table.usable)[:_ENTRIES_COMPARED]
        agree, why = 0, "no page table can be read"
        try:
            tables = self._dump.vmemmap_tables
            for virt, phys in zip(
                table.virt[rows].tolist(), table.phys[rows].tolist(), strict=True
            ):
                run = next(iter(tables.clip(virt, virt + 1)), None)
                agree += run is not None and run.phys == phys
            why = f"the page tables have {agree} of the first {len(rows)} entries as the list has"
        except (FactError, ReadError):
            pass
        if agree < len(rows) or not len(rows):
            self._note(
                "mmu_against_list",
                Severity.ERROR,
                f"VMCOREINFO has NUMBER(RADIX_MMU)=1, but vmemmap_list has {len(table)} entries, "
                f"and {why}: one of the two is wrong",
            )

    def _unlinked(self, table: BackingTable, base: int) -> None:
        """Look for nodes that a list which ends properly ought to have reached."""
        region = self._dump.region
        if not self._dump.walk.complete or not len(table) or region is None:
            return
        try:
            args = (
                self._dump.mem_section,
                self._dump.source,
                table,
                self._dump.misplaced,
                base,
                region,
                table.block_size,
            )
            search, sound = start_search(*args)
        except FactError:
            return
        lost = (
            find_nodes(search, table.node[sound], everywhere=False) if len(search.wanted) else None
        )
        if lost is not None and len(lost.node):
            last = int(table.node[-1])
            self._findings.append(
                Finding(
                    "list_truncated",
                    Severity.ERROR,
                    f"the list ends at node {last:#x}, but {len(lost.node)} nodes that it does not "
                    f"reach, such as {int(lost.node[0]):#x}, describe memory that is present",
                    node=last,
                    virt=int(lost.virt[0]),
                    phys=int(lost.phys[0]),
                )
            )

    def _note(self, code: str, severity: Severity, message: str) -> None:
        self._findings.append(Finding(code, severity, message))
