"""What was running and how it ended: node name, time of the crash, uptime, processors, panic.

The questions of crash's ``sys``, answered from what every dump has at hand: its headers,
VMCOREINFO, utsname and the log. No symbol table is read for it. What none of these tells is
missing, with the reason.

Source: Linux kernel/vmcore_info.c (CRASHTIME, BUILD-ID), kernel/panic.c and
arch/powerpc/kernel/traps.c (what they print), init/version-timestamp.c (linux_banner).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from vmemmap.errors import FactError, FactInvalid, FactMissing
from vmemmap.facts.fact import AnyFact, Fact, Facts, Origin
from vmemmap.facts.kernel import KernelFacts
from vmemmap.facts.uts import FIELD_BYTES, FIELDS
from vmemmap.formats.notes import count_processors
from vmemmap.kernel_log.record import KernelLog
from vmemmap.source.base import PhysicalSource

_BANNER = "Linux version "
_PANIC = "Kernel panic - not syncing"
_DEATHS = (
    *("Oops: ", "kernel BUG at ", "BUG: Kernel NULL pointer", "BUG: Unable to handle kernel"),
    *("Unable to handle kernel ", "Machine check in kernel mode", "sysrq: Trigger a crash"),
    *("SysRq : Trigger a crash", "Bad kernel stack pointer"),
)
"""How messages of a kernel begin that comes to its end without a panic."""
_BUILD_ID = re.compile(r"[0-9a-f]{16,64}")
_NOT_SHARED = frozenset({"node_name", "cpus", "crash_time"})
_MESSAGES_MAX = 1 << 18
"""More than a log of 16 MiB holds; who wants to see a longer one asks for the log itself."""
_LAST_SECOND = 253_402_300_799
"""The end of the year 9999."""


@dataclass(slots=True)
class _Logged:
    """What the log tells.

    Attributes:
        banner: The kernel's first message.
        panic: The last panic, or the first message of its end.
        last_ns: The time of the last message (nanoseconds since boot).
        damage: What is wrong with the log, as a clause; empty if nothing is.
    """

    banner: str | None = None
    panic: str | None = None
    last_ns: int | None = None
    damage: str = ""


class SystemFacts:
    """Establishes what was running, a fact at a time.

    Args:
        source: The dump: its headers' notes and utsname.
        kernel: Facts about the kernel, which say why there are none where VMCOREINFO is missing.
        log: Gives the log.
        is_extract: The dump is an extract, which leaves some of it out.
    """

    def __init__(
        self,
        source: PhysicalSource,
        kernel: Callable[[], KernelFacts],
        log: Callable[[], KernelLog],
        *,
        is_extract: bool,
    ) -> None:
        self._source, self._kernel, self._log = source, kernel, log
        self._is_extract = is_extract
        self._logged: _Logged | FactError | None = None

    def establish(self) -> Facts:
        """Give all that can be told; the rest is in ``missing``, with the reason."""
        of_all: dict[str, Callable[[], AnyFact]] = {
            "node_name": lambda: self._uts("node_name", "nodename"),
            "version": lambda: self._uts("version", "version"),
            "banner": self._banner,
            "build_id": self._build_id,
            "cpus": self._processors,
            "crash_time": self._crash_time,
            "uptime": self._uptime,
            "panic": self._panic,
        }
        facts = Facts()
        for name, establish in of_all.items():
            try:
                facts.add(establish())
            except FactError as error:
                facts.missing[name] = error
                if name in _NOT_SHARED and self._is_extract:
                    facts.missing[name] = FactMissing("an extract leaves it out", name=name)
        return facts

    def _uts(self, name: str, field: str) -> Fact[str]:
        """Give a text of utsname, of the one in memory before the one in the dump's headers."""
        raw, where = self._source.utsname, "utsname in the dump's headers"
        try:
            in_memory = self._kernel().utsname
        except FactError:
            in_memory = None
        if in_memory is not None:
            raw, where = in_memory.raw, "utsname in memory"
        at = FIELDS.index(field) * FIELD_BYTES
        text = raw[at : at + FIELD_BYTES].split(b"\0")[0].decode("utf-8", "backslashreplace")
        if not text:
            raise FactMissing(
                "no utsname is to be had: neither in memory, nor in the dump's headers", name=name
            )
        return Fact(name, text, Origin.DERIVED, where)

    def _banner(self) -> Fact[str]:
        found = self._of_log("banner")
        if found.banner is None:
            raise FactMissing(
                f"the log does not have the message '{_BANNER}...', which may be overwritten"
                f"{found.damage}",
                name="banner",
            )
        return Fact("banner", found.banner, Origin.DERIVED, f"the log{found.damage}")

    def _build_id(self) -> Fact[str]:
        info = self._kernel().vmcoreinfo
        if "BUILD-ID" not in info:
            raise FactMissing(
                "VMCOREINFO has no BUILD-ID (kernels since 5.14 have)", name="build_id"
            )
        text = info.text("BUILD-ID")
        if not _BUILD_ID.fullmatch(text) or not text.strip("0"):
            raise FactInvalid(
                f"VMCOREINFO has BUILD-ID={text[:80]!r}; expected 16 to 64 hex digits, not all 0",
                name="build_id",
            )
        return Fact("build_id", text, Origin.VMCOREINFO, "BUILD-ID")

    def _processors(self) -> Fact[int]:
        count = count_processors(self._source.notes)
        if not count:
            raise FactMissing("the dump's headers have registers of no processor", name="cpus")
        detail = "processors whose registers are in the dump's headers"
        return Fact("cpus", count, Origin.DERIVED, detail)

    def _crash_time(self) -> Fact[int]:
        info = self._kernel().vmcoreinfo
        if "CRASHTIME" not in info:
            raise FactMissing(
                "VMCOREINFO has no CRASHTIME, which a kernel writes as it starts the capture "
                "kernel: this one was dumped by other means, such as a hypervisor",
                name="crash_time",
            )
        text = info.text("CRASHTIME")
        if not (text.isascii() and text.isdecimal()) or int(text[:20]) > _LAST_SECOND:
            raise FactInvalid(
                f"VMCOREINFO has CRASHTIME={text[:80]!r}; expected seconds since 1970",
                name="crash_time",
            )
        return Fact("crash_time", int(text), Origin.VMCOREINFO, "CRASHTIME, seconds since 1970")

    def _uptime(self) -> Fact[int]:
        found = self._of_log("uptime")
        if found.last_ns is None:
            raise FactMissing(f"no message of the log has a time{found.damage}", name="uptime")
        exact = "" if found.panic else ", so at least that long"
        return Fact(
            "uptime",
            found.last_ns // 1_000_000_000,
            Origin.DERIVED,
            f"seconds from boot to the last message of the log{exact}{found.damage}",
        )

    def _panic(self) -> Fact[str]:
        found = self._of_log("panic")
        if found.panic is None:
            raise FactMissing(
                "no message of the log tells of a panic or an oops: the kernel was dumped while it "
                f"ran, or the message was overwritten or never stored{found.damage}",
                name="panic",
            )
        return Fact("panic", found.panic, Origin.DERIVED, f"the log{found.damage}")

    def _of_log(self, name: str) -> _Logged:
        """Go through the log, once.

        Raises:
            FactMissing: There is none that can be read.
        """
        if self._logged is None:
            try:
                self._logged = _look_through(self._log())
            except FactError as error:
                self._logged = error
        if isinstance(self._logged, FactError):
            raise FactMissing(f"the log cannot be read: {self._logged}", name=name)
        return self._logged


def _look_through(records: KernelLog) -> _Logged:
    """Go through a log.

    Raises:
        FactInvalid: It is too long to be gone through for this.
    """
    found, death = _Logged(), None
    for number, record in enumerate(records):
        if number == _MESSAGES_MAX:
            raise FactInvalid(f"it has more than {_MESSAGES_MAX} messages", name="log")
        if record.time_ns is not None:
            found.last_ns = record.time_ns
        first = record.data.partition(b"\n")[0]
        # What a process writes into the log has another facility, and can say anything.
        if record.facility or not first[:1].isalpha():
            continue
        text = first.decode("utf-8", "backslashreplace")
        if found.banner is None and text.startswith(_BANNER):
            found.banner = text
        elif text.startswith(_PANIC):
            found.panic = text
        elif death is None and text.startswith(_DEATHS):
            death = text
    found.panic = found.panic or death
    if records.findings:
        found.damage = f"; the log is damaged: {records.findings[0].message}"
    return found
