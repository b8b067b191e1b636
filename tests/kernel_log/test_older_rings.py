"""The rings of records (3.5 to 5.9) and of characters (before): what they have, and damage."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from breadth import examples
from builders.printk import CPU_CALLER, CharacterLog, Message, RecordLog
from kernel_log.logs import ORDERS, fill, machine_of, messages
from vmcore.machine_source import vmcore_of
from vmemmap.errors import FactError, FactInvalid, FactMissing
from vmemmap.kernel_log.record import KernelLog, LogRecord

RELEASE = "4.18.0-80"


def read(log: RecordLog | CharacterLog) -> KernelLog:
    machine = machine_of(log.order, RELEASE)
    log.install(machine)
    return vmcore_of(machine).dmesg()


def caller(message: Message, log: RecordLog) -> str | None:
    if not log.with_caller:
        return None
    return f"{'C' if message.caller_id & CPU_CALLER else 'T'}{message.caller_id & ~CPU_CALLER}"


def as_records(log: RecordLog) -> list[LogRecord]:
    return [LogRecord(m.text, m.ts_nsec, m.level, m.facility, caller(m, log)) for m in log.kept]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("struct_name", ["log", "printk_log"])
@pytest.mark.parametrize("with_caller", [False, True])
@pytest.mark.parametrize("count", [0, 1, 7, 30, 500])
@pytest.mark.parametrize("size", [4096, 1 << 17])
def test_every_record_that_the_ring_still_has(order, struct_name, with_caller, count, size) -> None:
    log = RecordLog(order, size, struct_name=struct_name, with_caller=with_caller)
    fill(log, count)
    dmesg = read(log)
    assert dmesg.form == "records"
    assert list(dmesg) == as_records(log)
    assert dmesg.findings == ()


@pytest.mark.parametrize("order", ORDERS)
def test_a_ring_of_records_at_every_turn(order) -> None:
    log = RecordLog(order, 512)
    turns = set()
    for number in range(300):
        log.add(Message(b"%*d" % (number % 40, number)), dictionary=b"DEVICE=x\0" * (number % 3))
        turns.add(log.first_idx > log.next_idx)
        dmesg = read(log)
        assert list(dmesg) == as_records(log), number
        assert dmesg.findings == ()
    assert turns == {True, False}


def record_machine(order: str, count: int = 30, size: int = 4096):
    log = RecordLog(order, size)  # type: ignore[arg-type]
    fill(log, count)
    machine = machine_of(order, RELEASE)
    log.install(machine)
    return (
        log,
        machine,
        int.from_bytes(machine.read(int(machine.vmcoreinfo["SYMBOL(log_buf)"], 16), 8), log.order),
    )


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("length", [1, 15, 60000])
def test_a_record_of_an_impossible_length_ends_the_log(order, length) -> None:
    log = RecordLog(order, 4096)
    for number in range(5):
        log.add(Message(b"%16d" % number))
    machine = machine_of(order, RELEASE)
    log.install(machine)
    at = 0xC000000051000000 + 3 * 32 + 8
    machine.poke(at, length.to_bytes(2, log.order))
    dmesg = vmcore_of(machine).dmesg()
    assert [record.data for record in dmesg] == [b"%16d" % number for number in range(3)]
    assert [finding.code for finding in dmesg.findings] == ["log_record"]


@pytest.mark.parametrize("order", ORDERS)
def test_a_mark_to_go_round_where_there_is_nothing_behind(order) -> None:
    log = RecordLog(order, 4096)
    for number in range(5):
        log.add(Message(b"%16d" % number))
    log.ring[2 * 32 : 2 * 32 + 16] = bytes(16)
    dmesg = read(log)
    assert len(list(dmesg)) == 2
    assert [finding.code for finding in dmesg.findings] == ["log_record"]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("variable", ["log_first_idx", "log_next_idx"])
@pytest.mark.parametrize("value", [4, 4090, 4096, 1 << 31, (1 << 32) - 1])
def test_wild_indexes(order, variable, value) -> None:
    log, machine, _ = record_machine(order)
    machine.poke_u32(int(machine.vmcoreinfo[f"SYMBOL({variable})"], 16), value)
    dmesg = vmcore_of(machine).dmesg()
    assert len(list(dmesg)) <= 2 * len(log.kept) + 2
    assert len(dmesg.findings) == 1
    assert dmesg.findings[0].code in ("log_indexes", "log_record")


@pytest.mark.parametrize("size", [0, 16, (1 << 31) + 1, (1 << 32) - 1])
def test_an_absurd_size_of_the_ring(size: int) -> None:
    for log in (RecordLog("big", 4096), CharacterLog("big", 12)):
        machine = machine_of("big", RELEASE)
        log.install(machine)
        machine.poke_u32(int(machine.vmcoreinfo["SYMBOL(log_buf_len)"], 16), size)
        if isinstance(log, CharacterLog) and size == 16:
            continue  # small, but a power of two
        with pytest.raises(FactInvalid, match="log_buf_len"):
            list(vmcore_of(machine).dmesg())


@pytest.mark.parametrize("kind", ["records", "characters"])
@pytest.mark.parametrize("place", [0, 1 << 63, 0xD000000000000000])
def test_a_ring_outside_the_linear_map(kind: str, place: int) -> None:
    log = RecordLog("big", 4096) if kind == "records" else CharacterLog("big", 12)
    machine = machine_of("big", RELEASE)
    log.install(machine)
    machine.poke_u64(int(machine.vmcoreinfo["SYMBOL(log_buf)"], 16), place)
    with pytest.raises(FactInvalid, match="log_buf"):
        list(vmcore_of(machine).dmesg())


@pytest.mark.parametrize(
    ("key", "value"),
    [("SIZE(printk_log)", "0"), ("SIZE(printk_log)", "257"), ("OFFSET(printk_log.len)", "15")],
)
def test_absurd_keys_are_named(key: str, value: str) -> None:
    _, machine, _ = record_machine("little")
    with pytest.raises(FactInvalid, match=r"SIZE\(printk_log\)"):
        list(vmcore_of(machine, changes={key: value}).dmesg())
    with pytest.raises(FactMissing):
        list(vmcore_of(machine, without=(key,)).dmesg())


def test_a_kernel_that_says_nothing_of_its_log() -> None:
    machine = machine_of("little", RELEASE)
    with pytest.raises(FactMissing, match="does not say where the kernel's log is"):
        vmcore_of(machine).dmesg()


def test_missing_pages_of_a_ring_of_records() -> None:
    log, machine, at = record_machine("little", 3000, 1 << 18)
    machine.exclude((at + 2 * 65536) & ~0xFFFF)
    dmesg = vmcore_of(machine).dmesg()
    found = list(dmesg)
    assert found == as_records(log)[: len(found)]
    assert 0 < len(found) < len(log.kept)
    assert {finding.code for finding in dmesg.findings} == {"log_unreadable"}


# Characters


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("count", [0, 1, 5, 300])
@pytest.mark.parametrize("shift", [12, 17])
def test_every_line_that_the_ring_of_characters_still_has(order, count, shift) -> None:
    log = CharacterLog(order, shift)
    for message in messages(count):
        log.add(Message(message.text.replace(b"\n", b" "), message.ts_nsec, message.level))
    dmesg = read(log)
    assert dmesg.form == "characters"
    records = list(dmesg)
    assert dmesg.findings == ()
    assert b"".join(record.head + record.data + b"\n" for record in records) == log.kept
    known = messages(count)[-len(records) + 1 :] if records else []
    for record, message in zip(records[1:], known, strict=False):
        assert record.data == message.text.replace(b"\n", b" ")
        assert record.level == message.level
        assert record.time_ns == message.ts_nsec // 1000 * 1000


@pytest.mark.parametrize("order", ORDERS)
def test_levels_facilities_and_times_of_lines(order) -> None:
    log = CharacterLog(order, 12)
    log.add(Message(b"with time", 3_000_004_000, level=4))
    log.add(Message(b"without", level=2), with_time=False)
    log.add(Message(b"of a daemon", 1, level=6, facility=3))
    log.add(Message(b" a line that goes on", level=7), with_time=False, end=b"")
    assert [
        (record.level, record.facility, record.time_ns, record.text) for record in read(log)
    ] == [
        (4, 0, 3_000_004_000, "with time"),
        (2, 0, None, "without"),
        (6, 3, 0, "of a daemon"),
        (7, 0, None, " a line that goes on"),
    ]
    assert [record.line for record in read(log)][:2] == [
        "<4>[    3.000004] with time",
        "<2>without",
    ]


@pytest.mark.parametrize("order", ORDERS)
def test_log_end_that_started_again_from_zero(order) -> None:
    log = CharacterLog(order, 12)
    log.log_end = (1 << 32) - 2000
    for number in range(150):
        log.add(Message(b"%d" % number, number * 1000))
    records = list(read(log))
    assert records[-1].data == b"149"
    assert b"".join(record.head + record.data + b"\n" for record in records) == log.kept


def test_missing_pages_of_a_ring_of_characters() -> None:
    log = CharacterLog("little", 18)
    for number in range(9000):
        log.add(Message(b"%05d" % number))
    machine = machine_of("little", RELEASE)
    log.install(machine)
    machine.exclude(0xC000000051000000 + 65536)
    dmesg = vmcore_of(machine).dmesg()
    found = [int(match) for record in dmesg for match in re.findall(r"(\d{5})$", record.line)]
    assert found == sorted(found)
    assert 9000 * 24 - 65536 - 48 <= len(found) * 24 <= 9000 * 24 - 65536 + 48
    assert {finding.code for finding in dmesg.findings} == {"log_unreadable"}


def test_a_line_that_never_ends_comes_in_pieces() -> None:
    log = CharacterLog("little", 18)
    log.ring[:] = b"x" * len(log.ring)
    log.log_end = len(log.ring)
    records = list(read(log))
    assert len(records) >= 4
    assert sum(len(record.data) for record in records) == len(log.ring)


@settings(max_examples=examples(80))
@given(
    order=st.sampled_from(ORDERS),
    is_record_ring=st.booleans(),
    count=st.integers(0, 80),
    hits=st.lists(st.tuples(st.integers(0, 2100), st.binary(min_size=1, max_size=8)), max_size=6),
    variables=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5000)), max_size=1),
)
def test_damage_anywhere_ends_in_records_and_findings(
    order, is_record_ring, count, hits, variables
) -> None:
    log = RecordLog(order, 2048) if is_record_ring else CharacterLog(order, 11)
    for message in messages(count):
        log.add(Message(message.text[:70], message.ts_nsec, message.level))
    machine = machine_of(order, RELEASE)
    log.install(machine)
    for at, data in hits:
        machine.poke(0xC000000051000000 + at, data)
    for number, value in variables:
        machine.poke_u32(0xC000000050000000 + 64 * number, value)
    dmesg = vmcore_of(machine).dmesg()
    try:
        records = list(dmesg)
    except FactError:
        return
    assert sum(len(record.data) for record in records) <= 2 * 8192
    if isinstance(log, RecordLog) and not hits and not variables:
        assert records == as_records(log)
