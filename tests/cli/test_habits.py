"""What one types by habit of crash, makedumpfile or drgn: the error says what to type here."""

from __future__ import annotations

import pytest

from builders.machine import build_machine

ADDRESS = "0xc00c000000000000"


@pytest.fixture
def here(tmp_path, monkeypatch) -> None:
    """A folder with a dump whose name the shell would take for two."""
    (tmp_path / "a dump").write_bytes(build_machine(blocks=3).kdump())
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (("a dump",), "'vmemmap info 'a dump''"),
        (("help", "list"), "'vmemmap list --help'"),
        (("--debug", "info", "a dump"), "--debug; options come behind the command"),
        (("info", "--json", "a dump"), "here it is --format json"),
        (("filter", "-x", "vmlinux", "a dump"), "here it is --vmlinux FILE"),
        (("drgn", "-c", "a dump"), "here it is the dump without an option before it"),
        (("vtop", ADDRESS, "a dump"), f"comes first, as in vmemmap vtop 'a dump' {ADDRESS} ("),
        (("vtop", "schedule+0x10", "a dump"), "as in vmemmap vtop 'a dump' schedule+0x10 ("),
        (("read", "0x0", "4K", "a dump"), "as in vmemmap read 'a dump' 0x0 4K ("),
        (("page", "5", "a dump"), "as in vmemmap page 'a dump' 5 ("),
        (("ptov", "pfn:5", "a dump"), "as in vmemmap ptov 'a dump' pfn:5 ("),
        (("vtop", "a dump"), f"as in vmemmap vtop 'a dump' {ADDRESS} ("),
        (("filter", "a dump", "out"), "--dry-run, as in vmemmap filter 'a dump' -o out ("),
    ],
)
def test_what_was_meant_is_told(run_vmemmap, here, typed, meant: str) -> None:
    ran = run_vmemmap(*typed)
    assert ran.code == 2
    assert meant in ran.err
    assert len(ran.err.splitlines()) == 1
    assert ran.out == ""


def test_the_output_has_one_option_in_all_commands(run_vmemmap, here, tmp_path) -> None:
    assert run_vmemmap("filter", "a dump", "--output", "small").code == 0
    assert run_vmemmap("read", "small", "0x0", "16", "--out", "bytes").code == 0
    assert (tmp_path / "bytes").stat().st_size == 16
