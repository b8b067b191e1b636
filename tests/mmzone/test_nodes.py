"""The zones of a node, where what lies behind them is not in the dump."""

from __future__ import annotations

from typing import Any

import vmemmap
from oracles.simulated import crash, spec_of
from vmemmap.errors import NotInDump
from vmemmap.linear_map import LinearMemory
from vmemmap.mmzone.nodes import NodeReader
from vmemmap.mmzone.pgdat_layout import read_pgdat_layout


class CutOff:
    """Physical memory without what lies behind the last zone of a node."""

    def __init__(self, memory: Any, start: int, size: int) -> None:
        self._memory, self._start, self._end, self.missed = memory, start, start + size, 0

    def read(self, address: int, size: int) -> bytes:
        if address < self._end and address + size > self._start:
            self.missed += 1
            raise NotInDump(f"{address:#x} was left out", phys=address)
        data: bytes = self._memory.read(address, size)
        return data


def test_what_lies_behind_the_last_zone_need_not_be_there(tmp_path) -> None:
    """Where a pglist_data reaches over several pages, and no debugging information is there.

    So it is in a dump of 4.19 with pages of 4 KiB: what is there could be one zone more.
    """
    dump = crash(spec_of("4.19.0", page=4096), tmp_path / "vmcore")
    with vmemmap.open(dump.path) as core:
        sound, order = core.page_model.nodes, core.kernel.order
        layout = read_pgdat_layout(core.kernel.vmcoreinfo, numa=True)
        node_data = int(core.kernel.symbol("node_data").value)
        missed = []
        for node in sound:
            end = node.zones[-1].address + layout.zone_size
            memory = CutOff(core.source, core.vtop(end).phys, layout.zone_size)
            reader = NodeReader(LinearMemory(memory, order), layout)
            assert reader.nodes(node_data, None) == sound
            missed.append(memory.missed)
    assert len(sound) == 2
    assert all(missed)
