"""docs/speed.md: made from the figures of a run, losses first, and from the prose beside bench/."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


def _load(name: str) -> Any:
    """Load a module of bench/, which is no package and not on the path of the tests."""
    spec = importlib.util.spec_from_file_location(f"bench_{name}", ROOT / "bench" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


page = _load("page")
plot = _load("plot")


def figure(cpu: float, **more: Any) -> dict[str, Any]:
    return {"cpu": cpu, "cpu_min": cpu / 2, "wall": cpu * 3, "wall_min": cpu, "mib": None} | more


def row(work: str, ours: float, peer: float | None = None, **more: Any) -> dict[str, Any]:
    return {
        "section": "Struct pages",
        "work": work,
        "unit": "ns a page",
        "clock": "cpu",
        "ours": figure(ours, mib=123.4),
        "peer": figure(peer, name="the other") if peer else None,
        "limit": figure(2.0, name="a plain pass"),
        "ratio": peer / ours if peer else None,
        "distance": ours / 2.0,
        "target": {"ratio": 1.5, "mib": 100},
        "misses": [],
    } | more


RESULT: dict[str, Any] = {
    "machine": {
        "processor": "Some Processor",
        "processors": 2,
        "python": "3.11.7",
        "compiled": True,
        "load_at_start": 0.25,
    },
    "makedumpfile": "1.7.9",
    "rows": [
        row("count all pages, 64 GiB", 8.0, 24.0, before=figure(80.0)),
        row("count all pages, 4 TiB", 7.0, 63.0, misses=["123 MiB, not 100"]),
        row("lost by a little", 10.0, 9.0),
        row("lost by much", 10.0, 1.0, misses=["0.10 times the peer, not 1.5"]),
        row("alone", 6.0),
    ],
    "growth": [
        {"memory": "4 TiB", "blocks": 65536, "cpu": 6.0, "wall": 7.0, "mib": 71.1},
        {"memory": "64 TiB", "blocks": 1048576, "cpu": 6.5, "wall": 8.0, "mib": 215.4},
    ],
    "steps": [{"step": "imports", "seconds": 0.3}, {"step": "counting", "seconds": 0.1}],
    "many": {
        "opened": 1000,
        "settled_after": 100,
        "settled_mib": 40.0,
        "at_end_mib": 39.5,
        "grown_mib": -0.5,
        "cpu_ms_each": 13.6,
    },
    "survey": {
        "dumps": 1000,
        "kinds": 16,
        "settled_after": 100,
        "settled_mib": 60.0,
        "at_end_mib": 61.5,
        "grown_mib": 1.5,
        "cpu_ms_each": 12.5,
        "wall_ms_each": 13.5,
    },
    "far": [
        {
            "dump": "pages of 64 KiB",
            "command": "list",
            "first": {"requests": 7, "mib": 0.88},
            "again": {"requests": 6, "mib": 0.5},
        }
    ],
}


def test_losses_come_first_and_every_row_stands_once() -> None:
    text = page.fill(page.TEMPLATE.read_text(), RESULT)
    assert "{{" not in text
    cells = "80 (40) | 8 (4) | 24 (12) | 3.00 | 2 (1) | 4.00 |"
    assert text.count(f"| *count all pages, 64 GiB* | ns a page | {cells}") == 1
    order = ["## Lost", "lost by much", "lost by a little", "## Short", "4 TiB", "## The rest"]
    places = [text.index(words) for words in order]
    assert places == sorted(places)
    for each in RESULT["rows"]:
        assert text.count(f"| {each['work']} |") == 1
    rest = text[text.index("## The rest") :]
    cells = "8 (4) | 24 | 24 (12) the other | 3.00 | 2 (1) a plain pass | 4.00 | 123 | ratio 1.5"
    assert f"| count all pages, 64 GiB | ns a page | {cells}, 100 MiB |" in rest
    assert "which is -0.5" in text
    assert "| counting | 100.0 | 25% |" in text


def test_what_was_measured_later_is_named() -> None:
    later = RESULT | {"renewed": {"sections": ["drgn", "Lists"], "load": 9.87}}
    text = page.fill(page.TEMPLATE.read_text(), later)
    assert "load 0.2 when it began (later, at a load of 9.9: drgn, Lists); dumps" in text


def test_without_losses_and_without_makedumpfile() -> None:
    alone = RESULT | {"rows": [row("alone", 6.0)], "makedumpfile": None}
    text = page.fill(page.TEMPLATE.read_text(), alone)
    assert text.count("None in this run.") == 2
    assert "no native makedumpfile" in text


def test_a_place_without_a_figure_is_an_error() -> None:
    with pytest.raises(KeyError, match="temperature"):
        page.fill("It was {{temperature}}.", RESULT)


def test_the_page_has_the_prose_of_the_template() -> None:
    """Who changes the one without the other finds it here; ``run.py --page`` mends it."""
    text, at = (ROOT / "docs" / "speed.md").read_text(), 0
    for part in re.split(r"\{\{\w+\}\}", page.TEMPLATE.read_text()):
        assert part in text[at:], part
        at = text.index(part, at) + len(part)
    assert at == len(text)


def test_the_picture_has_every_machine_and_everybody(tmp_path: Path) -> None:
    path = tmp_path / "picture.svg"
    plot.draw_growth(path, RESULT)
    drawn = path.read_text()
    for words in ("64 GiB", "4 TiB", "64 TiB", "vmemmap", "makedumpfile", "one plain pass"):
        assert f">{words}<" in drawn
    # What the table has is not drawn again from the growth: three machines of ours, two of others.
    assert sum(drawn.count(f"M{mark}") for mark in "0123456789") == 3 + 2 + 2
