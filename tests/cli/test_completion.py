"""Completion in the shell: what it is told for the beginnings of some lines."""

from __future__ import annotations

import pytest

LINES = {
    "vmemmap ch": ["plain,check"],
    "vmemmap filter --show": ["plain,--show-stats"],
    "vmemmap explain list_cy": ["plain,list_cycle"],
    "vmemmap check vmcore --format ju": ["plain,junit"],
    "vmemmap info vmc": ["file,vmc"],
    "vmemmap extract vmcore -o sha": ["file,sha"],
}


@pytest.mark.parametrize("line", LINES)
def test_what_the_shell_is_told(run_vmemmap, monkeypatch, line: str) -> None:
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(line.count(" ")))
    monkeypatch.setenv("_VMEMMAP_COMPLETE", "bash_complete")
    ran = run_vmemmap()
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines() == LINES[line]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_what_the_shell_needs(run_vmemmap, monkeypatch, shell: str) -> None:
    monkeypatch.setenv("_VMEMMAP_COMPLETE", f"{shell}_source")
    ran = run_vmemmap()
    assert ran.code == 0
    assert f"_VMEMMAP_COMPLETE={shell}_complete" in ran.out


def test_what_nobody_knows(run_vmemmap, monkeypatch) -> None:
    monkeypatch.setenv("_VMEMMAP_COMPLETE", "csh_complete")
    assert run_vmemmap().code == 1
