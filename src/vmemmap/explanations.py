"""What each finding means, in words: the table of ``explanations.toml``."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a finding means and what to do about it; every text is a sentence or more.

    Attributes:
        code: The finding's code.
        severity: As `check` gives it.
        means: What has been seen.
        arises: How it comes about.
        breaks: What can no longer be relied on.
        peers: What other tools do with such a dump, by their names.
        do: What to do about it.
        command: The command that tells of it.
    """

    code: str
    severity: str
    means: str
    arises: str
    breaks: str
    peers: dict[str, str]
    do: str
    command: str = "check"


@cache
def explanations() -> dict[str, Explanation]:
    """Give all explanations by code, in the order of the table."""
    text = files("vmemmap").joinpath("explanations.toml").read_text(encoding="utf-8")
    table = tomllib.loads(text)
    return {
        code: Explanation(code=code, **(row | {"peers": table["peers"][row["peers"]]}))
        for code, row in table["code"].items()
    }
