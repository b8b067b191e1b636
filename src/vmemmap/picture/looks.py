"""What a map's script is told beside the data: colours, patterns and words."""

from __future__ import annotations

from typing import Any

from vmemmap.absence import Absence
from vmemmap.pages.kinds import TITLES, Kind
from vmemmap.picture.colours import LOOKS

_INK = {
    "light": {
        "ink": "#1b2530",
        "faint": "#57636f",
        "ground": "#ffffff",
        "mark": "#d6006c",
        "hatch": "#5b6670",
        "stored": "#0072b2",
        "excluded": "#e8ddc4",
    },
    "dark": {
        "ink": "#e7edf3",
        "faint": "#a4b1bd",
        "ground": "#10161c",
        "mark": "#ff6bb5",
        "hatch": "#b4c0ca",
        "stored": "#56b4e9",
        "excluded": "#4a4233",
    },
}
"""Colours of the map beside those of the kinds."""


def looks() -> dict[str, Any]:
    """Give what the map's script needs to colour and name things."""
    everything = range(max(Kind) + 1)
    return {
        **{
            ground: {
                "colours": [getattr(LOOKS[Kind(kind)], ground) for kind in everything],
                **_INK[ground],
            }
            for ground in ("light", "dark")
        },
        "patterns": [LOOKS[Kind(kind)].pattern for kind in everything],
        "words": [Kind(kind).word for kind in everything],
        "titles": [TITLES.get(Kind(kind), "no struct page") for kind in everything],
        "absences": {each.word: each.explanation for each in Absence},
    }
