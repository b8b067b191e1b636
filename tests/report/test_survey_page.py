"""The page of a survey: the numbers of its rows, nothing that leads out of it, no markup."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from picture.page_parts import Page, hash_of, outside, parse
from picture.test_in_browser import CHROMIUM, Opened, browser  # noqa: F401 (a fixture)

pytest.importorskip("pyarrow", reason="pyarrow is absent")
from vmemmap.report.survey_page import make_page
from vmemmap.survey.fleet import fleet_of, read_fleet
from vmemmap.survey.parts import Parts, schema

MARKUP = "<script>z=1</script><img src=x onerror=z=1>\"'&amp;\u202e"
BEGAN = datetime(2026, 11, 26, 10, 15, tzinfo=UTC)
CODES = ("cycle", "not_covered", MARKUP)


def rows(count: int) -> list[dict[str, Any]]:
    """Rows of dumps: every third has errors, every fifth was not asked, all names are markup."""
    made = []
    for number in range(count):
        row: dict[str, Any] = dict.fromkeys(schema().names)
        failed, damaged = number % 5 == 4, number % 3 == 2
        row |= {
            "address": f"/var/{MARKUP}/{number:05}",
            "surveyed_at": BEGAN + timedelta(minutes=number),
            "error_code": MARKUP if failed else None,
            "error": f"open: {MARKUP}" if failed else None,
        }
        if not failed:
            findings = [{"code": CODES[number % 3], "severity": "error", "message": MARKUP}]
            row |= {
                "release": f"6.{number % 4}{MARKUP}",
                "mmu": "hash",
                "page_size": 65536,
                "format": "kdump",
                "errors": number if damaged else 0,
                "cautions": 0,
                "findings": findings * damaged * 2,
                "kinds": [
                    {"kind": "free", "pages": 3, "bytes": 3 << 16},
                    {"kind": MARKUP, "pages": 1, "bytes": 1 << 16},
                ],
            }
        made.append(row)
    return made


def cells(page: Page, words: str) -> list[str]:
    """The numbers in the first row of a table in which some words stand."""
    at = next(n for n, e in enumerate(page.elements) if e.tag == "td" and e.text == words)
    numbers = (e.text for e in page.elements[at:] if e.attributes.get("class") == "number")
    return [number for number, _ in zip(numbers, range(3), strict=False)]


def test_it_has_the_numbers_of_the_rows_and_leads_nowhere(tmp_path: Path, run_vmemmap) -> None:
    made = rows(60)
    Parts(tmp_path / "fleet").folder.mkdir()
    Parts(tmp_path / "fleet").add(made)
    ran = run_vmemmap("survey", tmp_path / "fleet", "--show", "--html", tmp_path / "page.html")
    assert (ran.code, "page.html" in ran.out) == (1, True)
    page = parse((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert (page.wrong, outside(page)) == ([], [])
    (style,), (script,) = page.of("style"), page.of("script")
    assert "default-src 'none'" in page.policy
    assert hash_of(style.text) in page.policy
    assert hash_of(script.text) in page.policy
    assert cells(page, "hash") == ["48", "16", "0"]
    assert cells(page, "unknown") == ["12", "0", "12"]
    assert "60 dumps" in page.words
    assert "16 of 60" in page.words
    assert "12 of 60" in page.words
    assert "Asked between 2026-11-26 10:15 UTC and 2026-11-26 11:14 UTC." in page.words
    assert "<script>z=1</script><img" in page.words
    assert "\u202e" not in page.words
    worst = max(row["errors"] or 0 for row in made)
    shown = [e.text[-6:] for e in page.of("td") if "/var/" in e.text]
    assert shown[:2] == ["/00002", f"/{worst:05}"]  # the example, and the worst of all
    assert read_fleet(tmp_path / "fleet").kind_bytes == {"free": 48 * 3 << 16, MARKUP: 48 << 16}


def test_of_very_many_dumps_it_stays_small(tmp_path: Path, run_vmemmap) -> None:
    html = make_page(fleet_of(rows(3000)), "fleet")
    assert len(html.encode()) < 1_000_000
    assert "And 600 more." in parse(html).words
    ran = run_vmemmap("survey", tmp_path, "--show", "--html", tmp_path)
    assert (ran.code, ran.out) == (2, "")


@pytest.mark.full
@pytest.mark.skipif(CHROMIUM is None, reason="chromium is absent: apt-get install chromium")
def test_in_a_browser_nothing_runs_and_axe_finds_nothing(browser, tmp_path) -> None:  # noqa: F811
    axe = pytest.importorskip("axe_core_python.sync_playwright", exc_type=ImportError)
    path = tmp_path / "page.html"
    path.write_text(make_page(fleet_of(rows(60)), "fleet"), encoding="utf-8")
    for width, scheme in ((1280, "light"), (1280, "dark"), (400, "light")):
        opened = Opened(browser, path, width, scheme)
        assert (opened.said, opened.asked) == ([], [opened.uri])
        assert opened.page.evaluate("typeof z") == "undefined"
        assert opened.page.evaluate("document.documentElement.scrollWidth") == width
        opened.page.evaluate("document.querySelectorAll('details').forEach((d) => (d.open = true))")
        found = axe.Axe().run(opened.page)["violations"]
        told = [(rule["id"], [n["html"][:200] for n in rule["nodes"]][:3]) for rule in found]
        assert told == []
