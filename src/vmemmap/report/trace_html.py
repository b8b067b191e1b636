"""A trace as a page to step through: one file, which asks for nothing from anywhere.

All text is in the page without its script, too; the script only moves a mark along the steps and
shows the state there. The page's own policy lets nothing else run and nothing be fetched.

Source: Content Security Policy Level 3, hashes of inline script and style.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from html import escape
from importlib.resources import files

from vmemmap.report.trace import aligned, changes, step_text
from vmemmap.report.trace_record import StepRecord, TraceRecord, TracesRecord


def page(record: TracesRecord) -> Iterator[str]:
    """Give the page of one trace, or of all side by side."""
    made = record["traces"]
    folder = files("vmemmap.report")
    style = (folder / "trace_page.css").read_text(encoding="utf-8")
    script = (folder / "trace_page.js").read_text(encoding="utf-8")
    *first, last = [trace["release"] for trace in made]
    releases = f"{', '.join(first)} and {last}" if first else last
    title = f"{releases}: {made[0]['what']}"
    yield (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        f"style-src '{_hash(style)}'; script-src '{_hash(script)}'\">\n"
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>{escape(title)}</title>\n<style>{style}</style>\n</head>\n<body>\n"
        f"<h1>{escape(title)}</h1>\n"
        "<p>&rarr; or j: next step, &larr; or k: the one before, s and S: next store and the one "
        "before, Home, End; or click.</p>\n"
    )
    rows = _rows(made)
    yield '<div class="heads">\n'
    for trace in made:
        yield (
            f"<p><b>{escape(trace['release'])}</b>: {escape(trace['what'])}: "
            f"{escape(trace['result'])}; list {trace['entries_before']} &rarr; "
            f"{trace['entries_after']}, {trace['counts']['load']} loads, "
            f"{trace['counts']['store']} stores</p>\n"
        )
    yield '</div>\n<div id="state"></div>\n<table id="steps">\n'
    for row in rows:
        yield "<tr>" + "".join(_cell(step) for step in row) + "</tr>\n"
    yield "</table>\n"
    states = [
        [None if step is None else [step["state_before"], step["state_after"]] for step in row]
        for row in rows
    ]
    # In a script element only "</" could end it.
    data = json.dumps(states, separators=(",", ":")).replace("<", "\\u003c")
    yield f'<script type="application/json" id="states">{data}</script>\n'
    yield f"<script>{script}</script>\n</body>\n</html>\n"


def _rows(made: list[TraceRecord]) -> list[list[StepRecord | None]]:
    """Put steps that are alike in a row: each kernel's beside those of the first."""
    rows: list[list[StepRecord | None]]
    rows = [[step] for step in made[0]["steps"] if step["kind"] != "leave"]
    for number, trace in enumerate(made[1:], 1):
        wider, old = [], iter(rows)
        for left, right in aligned(made[0], trace):
            if left is not None:
                # What stands before has no step of the first kernel, and none of this one.
                while (row := next(old))[0] is not left:
                    wider.append([*row, None])
                wider.append([*row, right])
            else:
                wider.append([*[None] * number, right])
        rows = [*wider, *([*row, None] for row in old)]
    return rows


def _cell(step: StepRecord | None) -> str:
    if step is None:
        return "<td></td>"
    news = "".join(f"\n{' ' * step['depth']}   {change}" for change in changes(step))
    text = escape(" " * step["depth"] + step_text(step))
    return f'<td class="{escape(step["kind"])}">{text}<i>{escape(news)}</i></td>'


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"
