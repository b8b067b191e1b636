"""Whether two dumps are of one machine, of one kernel, and of one boot, and how far apart they are.

Host names tell machines apart, build IDs kernels. One boot shows in the log: messages that both
have carry the same text and the same time, to the nanosecond.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import TYPE_CHECKING

from vmemmap.errors import FactError
from vmemmap.units import count_text, duration_text

if TYPE_CHECKING:
    from vmemmap.dump import Dump

_MESSAGES_MAX = 1 << 16
_NOBODY = "(none)"
"""UTS_NODENAME, which a host has until it is given a name."""
_BANNER = b"Linux version "


class Answer(StrEnum):
    """Whether two dumps have something in common."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Common:
    """Whether two dumps have something in common.

    Attributes:
        what: What it is: machine, kernel or boot.
        answer: Whether they have.
        evidence: What that rests on, in words.
    """

    what: str
    answer: Answer
    evidence: str


@dataclass(frozen=True, slots=True)
class Kinship:
    """What two dumps have in common.

    Attributes:
        machine: Whether they are of one machine.
        kernel: Whether they are of one kernel.
        boot: Whether that kernel was booted but once.
        seconds: How many seconds the second was taken after the first; None if nothing tells.
        between: The same in words, and by what that is known.
    """

    machine: Common
    kernel: Common
    boot: Common
    seconds: int | None
    between: str


def kinship(before: Dump, after: Dump) -> Kinship:
    """Tell what two dumps have in common."""
    machine, kernel = _machine(before, after), _kernel(before, after)
    boot = _boot(before, after)
    if kernel.answer is Answer.NO and boot.answer is Answer.UNKNOWN:
        boot = Common("boot", Answer.NO, "they are of two kernels")
    seconds, between = _between(before, after, boot)
    return Kinship(machine, kernel, boot, seconds, between)


def _machine(before: Dump, after: Dump) -> Common:
    one, other = _system(before, "node_name"), _system(after, "node_name")
    if one is None or other is None:
        return Common("machine", Answer.UNKNOWN, "a host's name is not to be had")
    if _NOBODY in (one, other):
        return Common("machine", Answer.UNKNOWN, "a host had not been given its name")
    if one == other:
        return Common("machine", Answer.YES, f"the host's name is {one}")
    return Common("machine", Answer.NO, f"the hosts' names are {one} and {other}")


def _kernel(before: Dump, after: Dump) -> Common:
    for name, title in (("build_id", "build ID"), ("version", "time of the build")):
        one, other = _system(before, name), _system(after, name)
        if one is None or other is None:
            continue
        if one != other:
            return Common("kernel", Answer.NO, f"its {title} is {one}, then {other}")
        if name == "build_id":
            return Common("kernel", Answer.YES, f"its {title} is {one}")
        releases = [_release(before), _release(after)]
        if releases[0] != releases[1]:
            return Common("kernel", Answer.NO, f"it is Linux {releases[0]}, then {releases[1]}")
        return Common("kernel", Answer.YES, f"it is Linux {releases[0]}, {one}")
    return Common("kernel", Answer.UNKNOWN, "neither build ID nor time of the build is to be had")


def _boot(before: Dump, after: Dump) -> Common:
    try:
        earlier, _ = _messages(before)
        later, begins = _messages(after)
    except FactError as error:
        return Common("boot", Answer.UNKNOWN, f"a log cannot be read: {error}")
    common = len(earlier & later)
    if common:
        words = f"{count_text(common, 'message')} of the log are the same, at the same time"
        return Common("boot", Answer.YES, words)
    if earlier and begins:
        return Common("boot", Answer.NO, "the log of the second begins anew")
    return Common("boot", Answer.UNKNOWN, "the logs have no message with a time in common")


def _messages(dump: Dump) -> tuple[set[tuple[int, bytes]], bool]:
    """Give the log's messages with their times, and whether it has the kernel's first one.

    Messages from before the clock runs are the same at every boot, and are left out.
    """
    timed, begins = set(), False
    for record in islice(dump.log(), _MESSAGES_MAX):
        text = bytes(record.data)
        begins = begins or text.startswith(_BANNER)
        if record.time_ns:
            timed.add((record.time_ns, text))
    return timed, begins


def _between(before: Dump, after: Dump, boot: Common) -> tuple[int | None, str]:
    clocks = [("crash_time", "by the times of the crashes")]
    if boot.answer is Answer.YES:
        clocks.insert(0, ("uptime", "by the last messages of their logs"))
    for name, words in clocks:
        one, other = _system(before, name), _system(after, name)
        if one is not None and other is not None:
            seconds = int(other) - int(one)
            when = "after" if seconds >= 0 else "BEFORE"
            return seconds, f"{duration_text(abs(seconds))} {when} the first, {words}"
    return None, "nothing tells how far they are apart"


def _system(dump: Dump, name: str) -> str | int | None:
    try:
        facts = dump.system
        return facts[name].value if name in facts else None
    except FactError:
        return None


def _release(dump: Dump) -> str:
    try:
        return str(dump.kernel.release.value)
    except FactError:
        return "unknown"
