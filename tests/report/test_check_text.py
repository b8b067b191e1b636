"""What `check` prints for people where little can be told."""

from __future__ import annotations

from pathlib import Path


def test_a_coverage_by_rescue_alone(run_vmemmap, corpus_dump, tmp_path: Path) -> None:
    """The file ends before mem_section and the list's nodes: what the list covers is not known."""
    dump = tmp_path / "vmcore"
    dump.write_bytes(corpus_dump("hash-64k-6.1").read_bytes()[:-100_000])
    options = ("--rescue", "--assume", "layout=0xc00c")
    ran = run_vmemmap("check", dump, *options)
    assert ran.code == 1
    coverage = run_vmemmap("check", dump, *options, "-f", "json").json["coverage"]
    assert (coverage["listed"], coverage["entries"]) == (None, 0)
    assert coverage["rescued"] > 0
    assert ran.out.splitlines()[-2:] == [
        "  by the list alone: unknown",
        f"  rescued: {coverage['rescued']} entries",
    ]
