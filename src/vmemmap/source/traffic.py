"""What reading a file over a network cost: requests, bytes, time. It fetches nothing itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Lock


@dataclass(slots=True)
class Traffic:
    """What was asked of a server so far.

    Attributes:
        requests: How many requests were sent, those that failed included.
        bytes: How many bytes of the file came back.
        retries: How many of the requests were for what failed before.
        seconds: How long was waited for the answers.
        file_bytes: Size of the file.
    """

    requests: int = 0
    bytes: int = 0
    retries: int = 0
    seconds: float = 0.0
    file_bytes: int = 0
    _lock: Lock = field(default_factory=Lock, repr=False, compare=False)

    def count(self, came_bytes: int, *, again: bool = False) -> None:
        """Count a request; any thread may."""
        with self._lock:
            self.requests += 1
            self.bytes += came_bytes
            self.retries += again

    @classmethod
    def together(cls, parts: list[Traffic]) -> Traffic:
        """Add up what several files cost."""
        return cls(
            sum(part.requests for part in parts),
            sum(part.bytes for part in parts),
            sum(part.retries for part in parts),
            sum(part.seconds for part in parts),
            sum(part.file_bytes for part in parts),
        )
