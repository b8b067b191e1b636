"""Makes docs/speed.md: the prose of ``speed.md`` beside this file, filled with a run's figures.

Each row stands in one of three tables: where we lose to a peer, where else we fall short of what
the design promises, and the rest.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

TEMPLATE = Path(__file__).resolve().parent / "speed.md"
Record = Mapping[str, Any]
_PLACE = re.compile(r"\{\{(\w+)\}\}")
_COLUMNS = (
    "| work | unit | ours | by the clock | peer | ratio | limit | distance | MiB | promised |\n"
    "|---|---|---|---|---|---|---|---|---|---|"
)


def fill(template: str, result: Record) -> str:
    """Put the figures of a run into the places of the template, written ``{{name}}``.

    Raises:
        KeyError: The template has a place for something that is not measured.
    """
    return _PLACE.sub(lambda found: _PLACES[found[1]](result), template)


def is_lost(row: Record) -> bool:
    """Tell whether the peer is faster."""
    return row["ratio"] is not None and row["ratio"] < 1


def line(row: Record) -> str:
    """Give a row in one line, for the terminal."""
    ours, clock = row["ours"], row["clock"]
    words = f"{row['work']}: {_number(ours['cpu'])} {row['unit']}"
    parts = [f"{words} (least {_number(ours['cpu_min'])}, by the clock {_number(ours['wall'])})"]
    if row["peer"]:
        parts.append(
            f"{row['peer']['name']} {_number(row['peer'][clock])}: {row['ratio']:.2f} times"
        )
    if row["limit"]:
        limit = row["limit"]
        parts.append(f"{limit['name']} {_number(limit[clock])}: distance {row['distance']:.1f}")
    if ours["mib"]:
        parts.append(f"{ours['mib']:.0f} MiB")
    if is_lost(row):
        parts.append("LOST")
    parts += [f"SHORT: {words}" for words in row["misses"]]
    return "; ".join(parts)


def _head(result: Record) -> str:
    """Give the rows that say what the compiled module has brought."""
    lines = [
        "| work | unit | without | with it | makedumpfile | ratio | limit | distance |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        if not row.get("before"):
            continue
        peer, limit, clock = row["peer"], row["limit"], row["clock"]
        cells = [
            *(f"*{row['work']}*", row["unit"], _both(row["before"], clock)),
            _both(row["ours"], clock),
            *((_both(peer, clock), f"{row['ratio']:.2f}") if peer else ("", "")),
            *((_both(limit, clock), f"{row['distance']:.2f}") if limit else ("", "")),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) if len(lines) > 2 else "It was not measured in this run."


def _lost(result: Record) -> str:
    lost = [row for row in result["rows"] if is_lost(row)]
    return (
        _table(sorted(lost, key=lambda row: float(row["ratio"]))) if lost else "None in this run."
    )


def _short(result: Record) -> str:
    short = [row for row in result["rows"] if row["misses"] and not is_lost(row)]
    return _table(short) if short else "None in this run."


def _rest(result: Record) -> str:
    rows = [row for row in result["rows"] if not row["misses"] and not is_lost(row)]
    sections = dict.fromkeys(row["section"] for row in rows)
    return "\n\n".join(
        f"### {name}\n\n{_table([row for row in rows if row['section'] == name])}"
        for name in sections
    )


def _table(rows: Iterable[Record]) -> str:
    return "\n".join([_COLUMNS, *map(_cells, rows)])


def _cells(row: Record) -> str:
    ours, peer, limit = row["ours"], row["peer"], row["limit"]
    cells = [
        row["work"],
        row["unit"],
        _both(ours, "cpu"),
        _number(ours["wall"]),
        f"{_both(peer, row['clock'])} {peer['name']}" if peer else "",
        f"{row['ratio']:.2f}" if peer else "",
        f"{_both(limit, row['clock'])} {limit['name']}" if limit else "",
        f"{row['distance']:.2f}" if limit else "",
        f"{ours['mib']:.0f}" if ours["mib"] else "",
        _promised(row),
    ]
    return "| " + " | ".join(cells) + " |"


def _promised(row: Record) -> str:
    words = {
        "ratio": "ratio {:.3g}",
        "distance": "distance {:g}",
        "most": "{:g} " + row["unit"],
        "mib": "{:g} MiB",
    }
    return ", ".join(words[name].format(value) for name, value in row["target"].items())


def _both(figure: Record, clock: str) -> str:
    return f"{_number(figure[clock])} ({_number(figure[clock + '_min'])})"


def _number(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def _machine(result: Record) -> str:
    machine = result["machine"]
    count = machine["processors"]
    return (
        f"{count} processor{'s' * (count != 1)} ({machine['processor']}), "
        f"Python {machine['python']}, "
        f"{'with' if machine['compiled'] else 'without'} the compiled module; "
        f"load {machine['load_at_start']:.1f} when it began{_renewed(result)}"
    )


def _renewed(result: Record) -> str:
    """Say what was measured at another time, where anything was."""
    again = result.get("renewed")
    if not again:
        return ""
    return f" (later, at a load of {again['load']:.1f}: {', '.join(again['sections'])})"


def _makedumpfile(result: Record) -> str:
    version = result["makedumpfile"]
    if version is None:
        return "There was no native makedumpfile on the machine, so its figures are missing."
    return f"makedumpfile is version {version}, built for the machine's own processor."


def _growth(result: Record) -> str:
    rows = [
        "| memory | blocks of 64 KiB | ns a page | by the clock | MiB |",
        "|---|---|---|---|---|",
    ]
    for row in result["growth"]:
        cells = (row["memory"], f"{row['blocks']:,}", *map(_number, (row["cpu"], row["wall"])))
        rows.append(f"| {' | '.join(cells)} | {row['mib']:.0f} |")
    return "\n".join(rows)


def _steps(result: Record) -> str:
    rows = ["| step | ms | part |", "|---|---|---|"]
    whole = sum(step["seconds"] for step in result["steps"])
    for step in result["steps"]:
        seconds = step["seconds"]
        rows.append(f"| {step['step']} | {seconds * 1e3:.1f} | {seconds / whole:.0%} |")
    return "\n".join(rows)


def _many(result: Record) -> str:
    many = result["many"]
    return (
        f"{many['opened']:,} times a real dump opened, counted, checked and closed in one process: "
        f"{many['cpu_ms_each']:.1f} ms of processor time each; {_resident(many)}."
    )


def _survey(result: Record) -> str:
    survey = result["survey"]
    return (
        f"{survey['dumps']:,} times one of {survey['kinds']} small simulated dumps asked what "
        f"`vmemmap survey` asks, in one process: {survey['cpu_ms_each']:.1f} ms of processor time "
        f"each, {survey['wall_ms_each']:.1f} by the clock; {_resident(survey)}."
    )


def _resident(loop: Record) -> str:
    """Say what a process that does the same again and again comes to hold."""
    return (
        f"{loop['settled_mib']:.1f} MiB resident after {loop['settled_after']}, "
        f"{loop['at_end_mib']:.1f} at the end, which is {loop['grown_mib']:+.1f}"
    )


def _far(result: Record) -> str:
    rows = ["| dump | command | the first time | the second time |", "|---|---|---|---|"]
    for row in result["far"]:
        seen = (
            f"{row[time]['mib']:.1f} MiB in {row[time]['requests']} requests"
            for time in ("first", "again")
        )
        rows.append(f"| {row['dump']} | `{row['command']}` | {' | '.join(seen)} |")
    return "\n".join(rows)


_PLACES: dict[str, Callable[[Record], str]] = {
    "machine": _machine,
    "makedumpfile": _makedumpfile,
    "head": _head,
    "lost": _lost,
    "short": _short,
    "rest": _rest,
    "growth": _growth,
    "steps": _steps,
    "many": _many,
    "survey": _survey,
    "far": _far,
}
