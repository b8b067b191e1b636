"""The simulated kernel's log, in the buffer of every era, as the reader reads it."""

from __future__ import annotations

import pytest

import vmemmap
from simulate.kernel_history import MAP_PRINTED
from vmemmap.simulate import HotplugEvent, Machine, MachineSpec, MemoryRange
from vmemmap.simulate.crash.dmesg import dmesg
from vmemmap.simulate.crash.printk import Message, write_log
from vmemmap.simulate.crash.vmcore import write_vmcore

MIB = 1 << 20
RELEASES = ("2.6.35", "3.4.0", "3.6.0", "3.12.0", "4.18.0", "5.9.0", "5.10.0", "6.1.0", "7.3.0")


def machine_of(release: str, order) -> Machine:
    spec = MachineSpec(
        memory=(MemoryRange(0, 0, 64 * MIB),),
        release=release,
        byte_order=order,
        events=(
            HotplugEvent("add", 256 * MIB, 64 * MIB),
            HotplugEvent("remove", 256 * MIB, 64 * MIB),
        ),
    )
    return Machine(spec).boot().run_events()


@pytest.mark.parametrize("order", ["little", "big"])
@pytest.mark.parametrize("release", RELEASES)
def test_reader_finds_every_message(tmp_path, release, order) -> None:
    machine = machine_of(release, order)
    said = dmesg(machine.crash(tmp_path / "core").machine)
    # Two of boot and two of its memory, two events, the end; and since 5.2 the map's three.
    assert len(said) == (10 if MAP_PRINTED[release] else 7)
    with vmemmap.open(tmp_path / "core") as core:
        log = core.dmesg()
        records = list(log)
        assert not log.findings
    found = [(record.level, record.text) for record in records]
    times = [record.time_ns for record in records]
    if release in ("2.6.35", "3.4.0"):  # a ring of characters has no records, only lines
        lines = [text for _, text in found]
        assert all(line.endswith(message.text) for line, message in zip(lines, said, strict=True))
    else:
        assert found == [(message.level, message.text) for message in said]
        assert times == [message.time_ns for message in said]


@pytest.mark.parametrize("order", ["little", "big"])
@pytest.mark.parametrize("release", ["3.4.0", "4.18.0", "6.1.0"])
def test_oldest_messages_are_gone_when_there_are_too_many(tmp_path, release, order) -> None:
    many = [Message(i * 1000, i % 8, f"message {i:5} " + "x" * (i % 300)) for i in range(3000)]
    snapshot = machine_of(release, order).snapshot()
    write_log(snapshot.machine.memory, snapshot.machine.kernel, many)
    write_vmcore(snapshot, tmp_path / "core", lambda *_: None)
    with vmemmap.open(tmp_path / "core") as core:
        texts = [record.text for record in core.dmesg()]
    assert 100 < len(texts) < 3000
    assert texts[-1].endswith(many[-1].text)
    kept = many[-len(texts) + 1 :]  # the first line of a ring of characters can be cut
    assert all(text.endswith(message.text) for text, message in zip(texts[1:], kept, strict=True))
