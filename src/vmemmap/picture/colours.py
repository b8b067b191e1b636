"""The colours of the kinds of pages as rules of a style sheet."""

from __future__ import annotations

from vmemmap.pages.kind_looks import LOOKS as LOOKS
from vmemmap.pages.kind_looks import part_of as part_of
from vmemmap.pages.kind_looks import style_of as style_of


def style_sheet() -> str:
    """Give the rules that colour the kinds, on light and on dark ground."""
    rules = [f".{style_of(kind)}{{fill:var(--{style_of(kind)})}}" for kind in LOOKS]
    for ground in ("light", "dark"):
        own = "".join(
            f"--{style_of(kind)}:{getattr(look, ground)};" for kind, look in LOOKS.items()
        )
        rules.append(f":root[data-ground={ground}]{{{own}}}")
        if ground == "light":
            rules.append(f":root{{{own}}}")
        else:
            scheme = "@media screen and (prefers-color-scheme:dark)"
            rules.append(f"{scheme}{{:root:not([data-ground]){{{own}}}}}")
    printed = "".join(f"--{style_of(kind)}:{look.light};" for kind, look in LOOKS.items())
    rules.append(f"@media print{{:root,:root[data-ground]{{{printed}}}}}")
    return "".join(rules)
