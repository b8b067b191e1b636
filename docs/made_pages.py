"""The pages of the documentation that are made from the package itself, so that they cannot lag."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import Any

import picture
import vmemmap
from vmemmap.cli.main import COMMANDS
from vmemmap.explanations import explanations

_ROOT = Path(__file__).resolve().parent.parent
_AUTHORS = "the vmemmap authors"
_FINDINGS = """\
# What the findings mean

`vmemmap explain CODE` prints the same in a terminal. What other tools do with such a dump was read
in their sources (of 2024 to 2026), not run on dumps damaged so.
"""
_COMMANDS = """\
# The commands

Each prints its own part of this with `--help`. Every command that reads a dump takes
`--format json` (and most `csv`); exit codes are 0 fine, 1 findings, 2 usage, 3 the dump cannot be
read, 4 a fault of `vmemmap` itself.
"""
_SCHEMAS = """\
# The JSON that commands print

`vmemmap COMMAND --schema` prints the JSON Schema of a command. Addresses are texts with `0x`, what
is not known is null, and members may be added in later versions, so take what you know and pass
over the rest.
"""


def findings() -> str:
    """Give the page of finding codes, from the table that `explain` reads."""
    parts = [_FINDINGS]
    for code, told in explanations().items():
        parts += [
            f"## `{code}`\n",
            f"**{told.severity}**, of `{told.command}`: {told.means}\n",
            f"How it arises: {told.arises}\n",
            f"What breaks: {told.breaks}\n",
            "What others do:\n",
            "".join(f"- **{peer}** {does}\n" for peer, does in told.peers.items()),
            f"What to do: {told.do}\n",
        ]
    return "\n".join(parts)


def commands() -> dict[str, str]:
    """Give the pages of the commands: their list, and one each, which asks the command itself."""
    listed = "\n".join(f"commands/{name}" for name in COMMANDS)
    pages = {"commands": f"{_COMMANDS}\n```{{toctree}}\n:maxdepth: 1\n\n{listed}\n```\n"}
    for name in COMMANDS:
        asked = f".. click:: vmemmap.cli.{name}:command\n   :prog: vmemmap {name}"
        pages[f"commands/{name}"] = f"```{{eval-rst}}\n{asked}\n```\n"
    return pages


def man_pages() -> list[tuple[str, str, str, str, int]]:
    """Give what Sphinx has to know of the man pages: source, name, what it is, author, section."""
    pages = [("made/commands", "vmemmap", "the struct-page array of PowerPC64 Linux", _AUTHORS, 1)]
    for name in COMMANDS:
        about = import_module(f"vmemmap.cli.{name}").command.get_short_help_str(200)
        pages.append((f"made/commands/{name}", f"vmemmap-{name}", about, _AUTHORS, 1))
    return pages


def changes() -> str:
    """Give the changes since the last release, from their fragments."""
    asked = ["build", "--draft", "--version", "unreleased", "--date", "next", "--dir", str(_ROOT)]
    ran = subprocess.run(
        [sys.executable, "-m", "towncrier", *asked], capture_output=True, text=True, check=True
    )
    return "# What has changed\n\n" + ran.stdout[ran.stdout.index("## ") :]


def schemas() -> str:
    """Give the page of JSON forms: what each member of each command's answer is."""
    parts = [_SCHEMAS]
    for file in sorted(files("vmemmap.report.schemas").iterdir(), key=lambda file: file.name):
        if file.name.endswith(".json"):
            parts.append(f"## {file.name.removesuffix('.json')}\n")
            parts.append(_members(json.loads(file.read_text(encoding="utf-8"))))
    return "\n".join(parts)


def overview(dump: Path) -> str:
    """Give the picture of the first page, from the dump that ``vmemmap demo --keep`` left."""
    with vmemmap.open(dump) as core:
        return picture.draw(core)


def write_all(folder: Path, dump: Path) -> None:
    """Write all made pages into ``folder``; those that are the same already stay untouched."""
    (folder / "commands").mkdir(parents=True, exist_ok=True)
    for name, text in (
        ("findings.md", findings()),
        ("changes.md", changes()),
        *((f"{page}.md", text) for page, text in commands().items()),
        ("json.md", schemas()),
        ("overview.svg", overview(dump)),
    ):
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def _members(schema: dict[str, Any]) -> str:
    """Say what a schema's answer is, and give its records as tables."""
    parts = [f"Prints: {_type(schema)}.\n"]
    for name, record in schema["$defs"].items():
        if record.get("properties"):
            parts += [f"### {name}\n", _table(record)]
    return "\n".join(parts)


def _table(record: dict[str, Any]) -> str:
    rows = [
        f"| `{name}` | {_type(member)} | {_cell(member.get('description', ''))} |"
        for name, member in record.get("properties", {}).items()
    ]
    about = _cell(record.get("description", ""))
    return "\n".join([about, "", "| member | type | |", "|---|---|---|", *rows, ""])


def _type(member: dict[str, Any]) -> str:
    """Say a member's type in words: ``text``, ``array of Entry``, ``integer or null``."""
    if "$ref" in member:
        return str(member["$ref"]).rsplit("/", 1)[-1]
    if "anyOf" in member:
        return " or ".join(_type(each) for each in member["anyOf"])
    kind = member.get("type", "any")
    if isinstance(kind, list):
        return " or ".join(kind)
    if kind == "array" and isinstance(member.get("items"), dict):
        return f"array of {_type(member['items'])}"
    return str(kind)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
