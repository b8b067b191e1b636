"""The lockless ring: every message that it still has, whatever turn it is in."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vmemmap
from breadth import examples, pairs
from builders.printk import (
    COMMITTED,
    CPU_CALLER,
    FINALIZED,
    RESERVED,
    REUSABLE,
    LocklessLog,
    Message,
)
from kernel_log.logs import ORDERS, fill, machine_of, messages
from vmcore.machine_source import MachineSource, vmcore_of
from vmemmap.errors import FactError, FactInvalid, FactMissing
from vmemmap.kernel_log.record import KernelLog, LogRecord


def caller(message: Message) -> str:
    return f"{'C' if message.caller_id & CPU_CALLER else 'T'}{message.caller_id & ~CPU_CALLER}"


def as_records(log: LocklessLog) -> list[LogRecord]:
    return [
        LogRecord(m.text, m.ts_nsec, m.level, m.facility, caller(m), seq) for seq, m in log.kept
    ]


def read(log: LocklessLog, **options) -> KernelLog:
    machine = machine_of(log.order, **options)
    log.install(machine)
    return vmcore_of(machine).dmesg()


@pytest.mark.parametrize(
    ("order", "count", "fits_to_the_end", "info_bytes", "bits"),
    pairs(
        product(
            ORDERS,
            (0, 1, 15, 16, 17, 33, 1000),
            (False, True),
            (88, 112),
            ((4, 13), (9, 12), (12, 17)),
        )
    ),
)
def test_every_message_that_the_ring_still_has(
    order, count, fits_to_the_end, info_bytes, bits
) -> None:
    count_bits, size_bits = bits
    log = LocklessLog(order, count_bits, size_bits, fits_to_the_end, info_bytes)
    fill(log, count)
    dmesg = read(log)
    assert dmesg.form == "lockless"
    assert list(dmesg) == as_records(log)
    assert dmesg.findings == ()
    assert list(dmesg) == as_records(log), "it can be read again"
    assert dmesg[-2:] == as_records(log)[-2:]
    assert count == 0 or dmesg[-1] == as_records(log)[-1]
    assert count < 17 or len(as_records(log)) > 5


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("fits_to_the_end", [False, True])
def test_blocks_at_the_end_of_the_ring(order, fits_to_the_end) -> None:
    """512 bytes in blocks of 24 leave 8, in blocks of 32 nothing: both ways to end, both rules."""
    for length in (16, 24):
        log = LocklessLog(order, 6, 9, fits_to_the_end=fits_to_the_end)
        for number in range(100):
            log.add(Message(b"%*d" % (length, number), number))
            assert list(read(log)) == as_records(log), (length, number)


@pytest.mark.parametrize("order", ORDERS)
def test_records_in_other_states_are_left_out(order) -> None:
    log = LocklessLog(order, 6, 12)
    log.add(Message(b"one"), COMMITTED)
    log.add(Message(b"being written"), RESERVED)
    log.add(Message(b"given up"), REUSABLE)
    log.add(Message(b"two"), FINALIZED)
    log.add(Message(b"the ring was too small"), failed=True)
    dmesg = read(log)
    assert [(record.data, record.seq) for record in dmesg] == [(b"one", 0), (b"two", 3), (b"", 4)]
    assert dmesg.findings == ()


@pytest.mark.parametrize("order", ORDERS)
def test_offsets_are_taken_from_vmcoreinfo(order) -> None:
    log = LocklessLog(order, 4, 12, desc_ring_at=24, info_bytes=256)
    fill(log, 40)
    assert list(read(log)) == as_records(log)


@pytest.mark.parametrize("order", ORDERS)
def test_text_and_line(order) -> None:
    log = LocklessLog(order, 4, 12)
    log.add(Message(b"caf\xc3\xa9 \x1b[1m\xff\ttab", 61_002_003_999, level=3))
    (record,) = read(log)
    assert record.text == "café \x1b[1m\\xff\ttab"
    assert record.line == r"[   61.002003] caf\xc3\xa9 \x1b[1m\xff" + "\ttab"
    assert LogRecord(b"x", 123456 * 10**9).line == "[123456.000000] x"


# Damage


def damaged(log: LocklessLog, word: str | None, value: int, at: int = 0) -> KernelLog:
    """Install a log and overwrite a 64-bit word of its ring structure."""
    machine = machine_of(log.order)
    places = log.install(machine)
    offsets = {"descs": 8, "infos": 16, "head_id": 24, "tail_id": 32, "data": 56}
    if word is not None:
        machine.poke_u64(places["ring"] + offsets[word], value)
    return vmcore_of(machine).dmesg()


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("word", ["head_id", "tail_id"])
@pytest.mark.parametrize("value", [0, 1 << 61, (1 << 62) - 1, 0xA5A5A5A5A5A5A5A5])
def test_wild_ids_lose_no_message(order, word, value) -> None:
    log = LocklessLog(order, 4, 13)
    fill(log, 60)
    dmesg = damaged(log, word, value)
    assert list(dmesg) == as_records(log)
    assert [finding.code for finding in dmesg.findings] == ["log_indexes"]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("word", ["descs", "infos", "data"])
@pytest.mark.parametrize("value", [0xC000000700000000, 0xC0000000FFFFF000])
def test_a_table_that_is_not_in_the_dump(order, word, value) -> None:
    log = LocklessLog(order, 4, 12)
    fill(log, 10)
    dmesg = damaged(log, word, value)
    # A record without text needs none.
    assert {record.data for record in dmesg} <= {b""}
    assert [finding.code for finding in dmesg.findings] == ["log_unreadable"]
    assert dmesg.findings[0].severity == "error"


@pytest.mark.parametrize("word", ["descs", "infos", "data"])
@pytest.mark.parametrize(
    "value", [0, 1 << 63, 0xC008000000000000, 0xF000000000000000, (1 << 64) - 1]
)
def test_a_table_outside_the_linear_map(word, value) -> None:
    log = LocklessLog("little", 4, 12)
    with pytest.raises(FactInvalid, match="linear map"):
        list(damaged(log, word, value))


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    ("bits", "name"),
    [
        ((0, 12), "count_bits"),
        ((27, 12), "count_bits"),
        ((4, 0), "size_bits"),
        ((4, 32), "size_bits"),
    ],
)
def test_absurd_sizes(order, bits, name) -> None:
    log = LocklessLog(order, 4, 12)
    log.count_bits, log.size_bits = bits
    with pytest.raises(FactInvalid, match=name):
        list(read(log))


def test_a_struct_of_words_and_a_byte_is_none() -> None:
    machine = machine_of("little")
    LocklessLog("little", 4, 12).install(machine)
    machine.vmcoreinfo["SIZE(printk_info)"] = "89"
    machine.sync_vmcoreinfo()
    with pytest.raises(FactInvalid, match=r"SIZE\(printk_info\)=89; expected a multiple of 8"):
        list(vmcore_of(machine).dmesg())


def test_what_a_damaged_log_tells_of_the_system_says_so(tmp_path: Path) -> None:
    log, machine = LocklessLog("little", 4, 12), machine_of("little")
    log.add(Message(b"later", ts_nsec=7 * 10**9))
    machine.poke_u64(log.install(machine)["ring"] + 24, 1 << 61)
    machine.sync_vmcoreinfo()
    (dump := tmp_path / "dump").write_bytes(machine.elf())
    with vmemmap.open(dump) as core:
        system = core.system
    assert system["uptime"].value == 7
    damage = "the log is damaged: the log's ids go from"
    assert damage in system["uptime"].detail
    assert damage in str(system.missing["banner"])


def test_a_ring_at_its_largest_that_is_not_there_is_read_in_large_pieces() -> None:
    log = LocklessLog("little", 4, 12)
    log.count_bits, log.size_bits, log.tail_id = 26, 31, 0
    log.head_id = (1 << 26) - 1
    machine = machine_of(log.order)
    log.install(machine)
    core = vmcore_of(machine)
    dmesg = core.dmesg()
    assert list(dmesg) == []
    assert [finding.code for finding in dmesg.findings] == ["log_unreadable"]
    assert cast(MachineSource, core.source).reads < (1 << log.count_bits) // 256


@pytest.mark.parametrize("order", ORDERS)
def test_a_text_of_another_record_is_not_shown(order) -> None:
    log = LocklessLog(order, 4, 12)
    for text in (b"one", b"two", b"three"):
        log.add(Message(text))
    log.text[16:24] = b"\x11" * 8
    dmesg = read(log)
    assert [record.data for record in dmesg] == [b"one", b"three"]
    assert [finding.code for finding in dmesg.findings] == ["log_text"]
    assert "is that of 0x1111111111111111" in dmesg.findings[0].message


@pytest.mark.parametrize("order", ORDERS)
def test_a_text_longer_than_its_block_is_cut_and_told(order) -> None:
    log = LocklessLog(order, 4, 12)
    log.add(Message(b"12345678"))
    log.add(Message(b"next"))
    first = log.descs[(log.tail_id + 1) % 16]
    info = bytearray(first.info)
    info[16:18] = b"\xff\xff"
    first.info = bytes(info)
    dmesg = read(log)
    assert [record.data for record in dmesg] == [b"12345678", b"next"]
    assert [finding.code for finding in dmesg.findings] == ["log_text"]


@pytest.mark.parametrize("begin", [0, 2, 1 << 40, (1 << 64) - 16])
@pytest.mark.parametrize("next_", [0, 2, 1 << 41, (1 << 64) - 8])
def test_wild_positions_of_text(begin: int, next_: int) -> None:
    log = LocklessLog("little", 4, 12)
    log.add(Message(b"one"))
    id_ = log.add(Message(b"two"))
    log.add(Message(b"three"))
    log.descs[id_ % 16].begin, log.descs[id_ % 16].next = begin, next_
    dmesg = read(log)
    assert [record.data for record in dmesg] == [b"one", b"three"]
    assert [finding.code for finding in dmesg.findings] == ["log_text"]


@pytest.mark.parametrize("order", ORDERS)
def test_a_missing_page_costs_what_is_on_it(order) -> None:
    log = LocklessLog(order, 12, 17)
    for number in range(3000):
        log.add(Message(b"%024d" % number, number))
    machine = machine_of(order)
    places = log.install(machine)
    for table, row_bytes in (("data", 32), ("infos", 88), ("descs", 24)):
        machine.memory.excluded.clear()
        gone = (places[table] | 0xFFFF) + 1  # the second page that it touches
        machine.exclude(gone)
        dmesg = vmcore_of(machine).dmesg()
        kept = [
            number
            for number in range(3000)
            if places[table] + (number + 1) * row_bytes <= gone
            or places[table] + number * row_bytes >= gone + 65536
        ]
        assert 0 < len(kept) < 3000, table
        assert [record.time_ns for record in dmesg] == kept, table
        assert [finding.code for finding in dmesg.findings] == ["log_unreadable"]


def test_wild_ids_and_a_missing_page_are_both_told() -> None:
    log = LocklessLog("big", 12, 17)
    for number in range(3000):
        log.add(Message(b"%024d" % number, number))
    machine = machine_of("big")
    places = log.install(machine)
    machine.poke_u64(places["ring"] + 24, 5)
    machine.exclude((places["descs"] | 0xFFFF) + 1)
    dmesg = vmcore_of(machine).dmesg()
    found = [record.seq or 0 for record in dmesg]
    assert found == sorted(found)
    assert len(found) > 1000
    assert [finding.code for finding in dmesg.findings] == ["log_indexes", "log_unreadable"]


KEYS = [
    "SIZE(printk_ringbuffer)",
    "OFFSET(prb_desc_ring.count_bits)",
    "OFFSET(prb_desc.state_var)",
    "OFFSET(prb_data_blk_lpos.next)",
    "SIZE(printk_info)",
    "OFFSET(printk_info.text_len)",
    "OFFSET(atomic_long_t.counter)",
]


@pytest.mark.parametrize("key", KEYS)
def test_missing_and_absurd_keys_are_named(key: str) -> None:
    machine = machine_of("little")
    LocklessLog("little", 4, 12).install(machine)
    with pytest.raises(FactMissing) as caught:
        list(vmcore_of(machine, without=(key,)).dmesg())
    assert caught.value.name == key
    for value in ("0", "100000", str(1 << 62)):
        if value == "0" and key.startswith("OFFSET"):
            continue
        with pytest.raises(FactError, match=r"SIZE|OFFSET"):
            list(vmcore_of(machine, changes={key: value}).dmesg())


@settings(max_examples=examples(80))
@given(
    order=st.sampled_from(ORDERS),
    count=st.integers(0, 60),
    hits=st.lists(
        st.tuples(
            st.sampled_from(["descs", "infos", "data", "ring"]),
            st.integers(0, 1500),
            st.binary(min_size=1, max_size=12),
        ),
        max_size=5,
    ),
)
def test_damage_anywhere_ends_in_records_and_findings(order, count, hits) -> None:
    log = LocklessLog(order, 4, 10)
    for message in messages(count):
        log.add(Message(message.text[:60], message.ts_nsec, message.level))
    machine = machine_of(order)
    places = log.install(machine)
    for where, at, data in hits:
        machine.poke(places[where] + at, data)
    dmesg = vmcore_of(machine).dmesg()
    try:
        records = list(dmesg)
    except FactError:
        return
    assert len(records) <= 16
    assert all(len(record.data) <= 1024 for record in records)
    assert {finding.code for finding in dmesg.findings} <= {
        *("log_indexes", "log_text", "log_unreadable"),
    }
    if not hits:
        assert records == as_records(log)
        assert dmesg.findings == ()
