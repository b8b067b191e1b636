"""The matrix of the lab: what is in it, and what is said of a wrong choice."""

from __future__ import annotations

import pytest
from lab import matrix


def test_the_whole_matrix_is_described_as_it_should_be() -> None:
    machines = matrix.machines("all")
    assert {spec.mmu for spec in machines} == {"hash", "radix"}
    for spec in machines:
        plugged: set[str] = set()
        for step in spec.memory:  # nothing is pulled out that is not in
            assert (step.name in plugged) == (step.action == "remove"), spec.name
            plugged ^= {step.name}
            assert step.node < len(spec.nodes)
            assert (step.address or 0) + (step.mib << 20) <= spec.max_gib << 30
        assert spec.cpus == 1 or "kdump" not in spec.dumps


def test_a_set_and_names_choose() -> None:
    assert [spec.name for spec in matrix.machines("ci")] == [
        "bookworm-hash-64k",
        "bookworm-radix-64k",
    ]
    (one,) = matrix.machines("sid-radix-4k")
    assert (one.kernel, one.cpu) == ("sid", "POWER9")


def test_an_address_and_a_node_are_read() -> None:
    (spec,) = matrix.machines("trixie-hash-64k-16m")
    assert spec.memory[0] == matrix.MemoryStep("add", "a", 512, 1, 0x8_0000_0000)
    assert spec.memory[1] == matrix.MemoryStep("add", "b", 256, 0, None)


def test_an_unknown_name_is_told_with_those_there_are() -> None:
    with pytest.raises(matrix.MatrixError, match=r"no machine or set hsah; .*few.*sid-hash-4k"):
        matrix.machines("sid-hash-4k,hsah")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('mmu = "paper"', "mmu is hash or radix"),
        ('dumps = ["photograph"]', "dumps are of qemu, kdump"),
        ('memory = ["add a"]', "neither 'add NAME MIB"),
        ('memory = ["lose a"]', "neither 'add NAME MIB"),
        ('makedumpfile = ["zlib:32"]', "'zlib:32' is not zlib:LEVEL"),
        ("colour = 3", "colour"),
    ],
)
def test_a_machine_with_a_mistake_is_refused(tmp_path, monkeypatch, line, said) -> None:
    fields = {"title": '"t"', "kernel": '"sid"', "mmu": '"hash"', "memory": "[]", "dumps": "[]"}
    name, _, value = line.partition(" = ")
    fields[name] = value
    text = "\n".join(f"{name} = {value}" for name, value in fields.items())
    path = tmp_path / "matrix.toml"
    path.write_text(f"[sets]\n[machines.one]\n{text}\n")
    monkeypatch.setattr(matrix, "MATRIX", path)
    with pytest.raises(matrix.MatrixError, match=said):
        matrix.machines("all")
