"""What is wrong with a kernel log: one finding for each kind of damage, however often it is met."""

from __future__ import annotations

from dataclasses import dataclass, field

from vmemmap.findings import Finding, Severity


@dataclass(slots=True)
class LogDamage:
    """Collects damage while a log is read.

    Codes: ``log_unreadable`` (not in the dump), ``log_indexes`` (where the ring starts and ends),
    ``log_record`` (a record that cannot be one), ``log_text`` (a text that is not the record's).
    """

    _first: dict[str, str] = field(default_factory=dict)
    _count: dict[str, int] = field(default_factory=dict)

    def add(self, code: str, message: str) -> None:
        """Take note of damage; of each code the first message is kept, and how many there were."""
        self._first.setdefault(code, message)
        self._count[code] = self._count.get(code, 0) + 1

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The findings so far."""
        return tuple(
            Finding(code, Severity.ERROR, message + _more(self._count[code] - 1))
            for code, message in self._first.items()
        )


def _more(count: int) -> str:
    return f" (and {count} more like it)" if count > 0 else ""
