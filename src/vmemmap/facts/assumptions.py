"""What a user says of a kernel, which goes before what the dump says and before any assumption."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from vmemmap.facts.fact import Fact, Origin


@dataclass(frozen=True, slots=True)
class Assumptions:
    """Values given by the user, by the name of the fact that they stand for."""

    values: Mapping[str, str] = field(default_factory=dict)

    def given(self, name: str) -> Fact[str] | None:
        """Give the user's value as a fact, or None."""
        if name not in self.values:
            return None
        return Fact(name, self.values[name], Origin.USER, "given by the user")


def check_assumptions(
    given: Mapping[str, str], allowed: Mapping[str, tuple[str, ...]]
) -> Assumptions:
    """Take the user's values if each is one that can be.

    Args:
        given: Fact name to value.
        allowed: The facts that can be given, and the values that each can have.

    Raises:
        TypeError: They are no mapping.
        ValueError: A name or a value is not among them; the message lists those that are.
    """
    if not isinstance(given, Mapping):
        raise TypeError(f"expected assumptions as a dict, as {{'mmu': 'hash'}}, found {given!r}")
    given = {name: str(value) for name, value in given.items()}
    for name, value in given.items():
        if name not in allowed:
            raise ValueError(
                f"{name!r} cannot be assumed; expected one of {', '.join(sorted(allowed))}"
            )
        if value not in allowed[name]:
            raise ValueError(
                f"{name} cannot be {value!r}; expected one of {', '.join(allowed[name])}"
            )
    return Assumptions(given)
