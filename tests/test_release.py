"""A tagged commit is a release: its tag is the version, and the changelog has it."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

import vmemmap

ROOT = Path(__file__).resolve().parent.parent
FRAGMENTS = [path.name for path in (ROOT / "changelog.d").glob("*.md")]


def faults_of(tag: str, version: str, changelog: str, fragments: list[str]) -> list[str]:
    """Say what is wrong with a release of this tag."""
    faults = []
    if tag != f"v{version}":
        faults.append(f"the tag {tag} is not v{version}, the version")
    if f"\n## {version} (" not in f"\n{changelog}":
        faults.append(f"CHANGELOG.md has no section {version}")
    if fragments:
        faults.append(f"changelog.d has fragments that no release has: {', '.join(fragments)}")
    return faults


def test_a_tag_is_a_release() -> None:
    ran = subprocess.run(
        ["git", "tag", "--points-at", "HEAD", "v*"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    tags = ran.stdout.split()
    if ran.returncode or not tags:
        pytest.skip("this is no tagged commit")
    changelog = (ROOT / "CHANGELOG.md").read_text()
    assert [faults_of(tag, vmemmap.__version__, changelog, FRAGMENTS) for tag in tags] == [[]]


def test_what_is_no_release_is_seen() -> None:
    assert faults_of("v1.2", "1.2", "# Changes\n\n## 1.2 (2030-01-01)\n", []) == []
    assert len(faults_of("v1.3", "1.2", "## 1.1 (2030-01-01)\n", ["1.added.md"])) == 3


def test_fragments_have_names_that_the_changelog_takes() -> None:
    table = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["towncrier"]
    kinds = "|".join(kind["directory"] for kind in table["type"])
    wrong = [name for name in FRAGMENTS if not re.fullmatch(rf"\d+(\.\w+)?\.({kinds})\.md", name)]
    assert not wrong, "N.KIND.md or N.WORD.KIND.md"
