"""The questions in docs/survey.md, asked of a real survey in DuckDB and in polars."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from builders.machine import build_machine

pytest.importorskip("pyarrow", reason="pyarrow is absent")
from vmemmap.survey.run import survey

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "survey.md").read_text()
pytestmark = pytest.mark.full


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two dumps, one with a list that is broken, surveyed into ``fleet``."""
    sound, broken = build_machine(), build_machine(byte_order="big")
    broken.poke_node(3, link=0xC000000000000123)
    (tmp_path / "sound").write_bytes(sound.kdump())
    (tmp_path / "broken").write_bytes(broken.elf())
    monkeypatch.chdir(tmp_path)
    survey(["sound", "broken"], "fleet", jobs=1)


def test_in_duckdb(fleet: None) -> None:
    duckdb = pytest.importorskip("duckdb", reason="DuckDB is absent")
    kernels, found, memory = (
        duckdb.sql(block).fetchall() for block in re.findall(r"```sql\n(.*?)```", TEXT, re.DOTALL)
    )
    assert sorted(dumps for _, dumps, _ in kernels) == [1, 1]
    assert sorted(damaged for _, _, damaged in kernels) == [0, 1]
    assert any(row[1] == "error" and row[3].endswith("/broken") for row in found)
    assert memory


def test_in_polars(fleet: None) -> None:
    pytest.importorskip("polars", reason="polars is absent")
    (block,) = re.findall(r"```py\n(.*?)```", TEXT, re.DOTALL)
    names: dict[str, Any] = {}
    exec(block, names)
    assert sorted(Path(address).name for address in names["slowest"].collect()["address"]) == [
        "broken",
        "sound",
    ]
