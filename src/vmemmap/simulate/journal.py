"""What a machine's kernel did and said: kept with what it was about, and told to who watches."""

from __future__ import annotations

from vmemmap.simulate.mm.outcome import Outcome, Printed, Warned
from vmemmap.simulate.steps import Task
from vmemmap.simulate.trace.watch import Watch


class Journal:
    """The outcomes of boot and of each event so far, the last of which may still be going on.

    Attributes:
        outcomes: What became of each.
        watch: Who watches, or None.
    """

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []
        self.watch: Watch | None = None

    def begin(self, what: str) -> Outcome:
        """Begin with boot or an event, which all that is noted belongs to from now on."""
        self.outcomes.append(Outcome(what))
        return self.outcomes[-1]

    def called(self, task: Task, name: str) -> None:
        """Note that a task has entered a function of the kernel."""
        task.calls.append(name)
        calls = self.outcomes[-1].calls if self.outcomes else []
        if name not in calls:
            calls.append(name)
        if self.watch is not None:
            self.watch.called(task)

    def said(self, said: Printed | Warned) -> None:
        """Note what the kernel put into its log."""
        if self.outcomes:
            self.outcomes[-1].said.append(said)
        if self.watch is not None:
            self.watch.said(said)

    def warned(self, task: Task, function: str) -> None:
        """Note a warning that a function gave, with who had called it."""
        callers = [name for name in reversed(task.calls) if name != function]
        self.said(Warned(function, tuple(callers)))
