"""VMCOREINFO text: every accessor on good, missing, garbled, repeated and hostile lines."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from builders.machine import build_machine
from builders.vmcoreinfo import vmcoreinfo_text
from vmemmap.errors import FactConflict, FactError, FactInvalid, FactMissing
from vmemmap.facts.vmcoreinfo.text import Vmcoreinfo

Accessor = Callable[[Vmcoreinfo], int | str]

# Key, and the call that asks for it.
ACCESSORS: dict[str, Accessor] = {
    "OSRELEASE": lambda info: info.text("OSRELEASE"),
    "SYMBOL(a)": lambda info: info.symbol("a"),
    "SIZE(a)": lambda info: info.size("a"),
    "OFFSET(a.b)": lambda info: info.offset("a.b"),
    "NUMBER(a)": lambda info: info.number("a"),
    "PAGESIZE": lambda info: info.page_size(),
}
TWO_64 = str(1 << 64)
NEVER_A_NUMBER = [
    "",
    " ",
    "x",
    "-",
    "1.5",
    "1_0",
    "+1",
    " 1",
    "1 ",
    "1\r",
    "1\0",
    "\0",
    "--1",
    "0x",
]
DECIMAL_GARBAGE = ["0x10", "-1", "1e3", "ff", TWO_64, "9" * 20, "1" * 21, "9" * 5000]


@pytest.mark.parametrize("release", ["3.14.0-test", "5.4.0-100", "6.1.0-50", "6.12.0", "7.3.0"])
def test_every_key_of_a_real_text_is_read_as_the_kernel_wrote_it(release: str) -> None:
    layout = "f000" if release < "5" else "c00c"
    facts = build_machine(blocks=1, store="none", layout=layout, release=release).vmcoreinfo  # type: ignore[arg-type]
    info = Vmcoreinfo(vmcoreinfo_text(facts))
    assert len(info) == len(facts) > 40
    for key, value in facts.items():
        kind, _, name = key.rstrip(")").partition("(")
        assert key in info
        assert info.text(key) == value
        if kind == "SYMBOL":
            assert info.symbol(name) == int(value, 16)
        elif kind == "SIZE":
            assert info.size(name) == int(value)
        elif kind == "OFFSET":
            assert info.offset(name) == int(value)
        elif kind == "NUMBER":
            assert info.number(name) == int(value, 16 if value.startswith("0x") else 10)
    assert info.page_size() == 65536


@pytest.mark.parametrize("key", ACCESSORS)
@pytest.mark.parametrize("text", [b"", b"OTHER=1\n", b"SYMBOL(ab)=1\nsymbol(a)=1\nPAGESIZ=4096\n"])
def test_a_missing_key_is_missing_by_its_full_name(key: str, text: bytes) -> None:
    info = Vmcoreinfo(text)
    assert key not in info
    with pytest.raises(FactMissing, match="VMCOREINFO has no") as caught:
        ACCESSORS[key](info)
    assert caught.value.name == key


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *((key, value) for key in ACCESSORS if key != "OSRELEASE" for value in NEVER_A_NUMBER),
        *(("SIZE(a)", value) for value in DECIMAL_GARBAGE),
        *(("OFFSET(a.b)", value) for value in DECIMAL_GARBAGE),
        *(("SYMBOL(a)", v) for v in ["0xg", "-1", "c000 0", "1" + "0" * 16, "0" * 17, "0x0x1"]),
        *(("NUMBER(a)", v) for v in [TWO_64, "9" * 20, "0x1" + "0" * 16, "-0x1", "ff", "1" * 5000]),
        *(("PAGESIZE", v) for v in ["0", "1", "512", "8192", "16384", "65535", "65537", "131072"]),
        *(("PAGESIZE", v) for v in ["0x1000", "0x10000", str(1 << 63), TWO_64, "-4096"]),
    ],
)
def test_a_garbled_value_is_invalid_by_its_full_name(key: str, value: str) -> None:
    info = Vmcoreinfo(f"A=1\n{key}={value}\nB=2\n".encode())
    assert key in info
    with pytest.raises(FactInvalid) as caught:
        ACCESSORS[key](info)
    assert caught.value.name == key
    assert key in str(caught.value)
    assert (info.text("A"), info.text(key), info.text("B")) == ("1", value, "2")


@pytest.mark.parametrize("value", ["-9223372036854775809", "-" + "9" * 20])
def test_a_number_below_what_a_signed_long_holds_is_invalid(value: str) -> None:
    with pytest.raises(FactInvalid):
        Vmcoreinfo(f"NUMBER(a)={value}\n".encode()).number("a")


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("SYMBOL(a)", "0", 0),
        ("SYMBOL(a)", "c00000000160b4d0", 0xC00000000160B4D0),
        ("SYMBOL(a)", "C00000000160B4D0", 0xC00000000160B4D0),
        ("SYMBOL(a)", "0xc00000000160b4d0", 0xC00000000160B4D0),
        ("SYMBOL(a)", "f" * 16, 2**64 - 1),
        ("SYMBOL(a)", "10", 16),
        ("SIZE(a)", "10", 10),
        ("SIZE(a)", "0064", 64),
        ("SIZE(a)", str(2**64 - 1), 2**64 - 1),
        ("OFFSET(a.b)", "0", 0),
        ("OFFSET(a.b)", "16", 16),
        ("NUMBER(a)", "0", 0),
        ("NUMBER(a)", "010", 10),
        ("NUMBER(a)", "-129", -129),
        ("NUMBER(a)", "-9223372036854775808", -(2**63)),
        ("NUMBER(a)", "9223372036854775807", 2**63 - 1),
        ("NUMBER(a)", "0xc008000000000000", 0xC008000000000000),
        ("PAGESIZE", "4096", 4096),
        ("PAGESIZE", "65536", 65536),
        ("OSRELEASE", "", ""),
        ("OSRELEASE", "6.1.0=x y", "6.1.0=x y"),
    ],
)
@pytest.mark.parametrize("ending", ["\n", ""])
def test_a_sound_value_is_read_with_or_without_a_last_newline(
    key: str, value: str, expected: int | str, ending: str
) -> None:
    assert ACCESSORS[key](Vmcoreinfo(f"A=1\n{key}={value}{ending}".encode())) == expected


@pytest.mark.parametrize("key", ACCESSORS)
def test_two_different_values_are_a_conflict_and_equal_ones_are_not(key: str) -> None:
    same = Vmcoreinfo(f"{key}=4096\nB=2\n{key}=4096\n".encode())
    assert ACCESSORS[key](same) in (4096, 0x4096, "4096")
    for values in (("4096", "65536"), ("4096", ""), ("4096", "65536", "4096"), ("x", "4096")):
        lines = "".join(f"{key}={value}\n" for value in values)
        info = Vmcoreinfo(f"A=1\n{lines}B=2\n".encode())
        assert key in info
        with pytest.raises(FactConflict) as caught:
            ACCESSORS[key](info)
        assert caught.value.name == key
        assert repr(values[0]) in str(caught.value)
        assert info.text("A") + info.text("B") == "12"


JUNK = [
    b"\0" * 100,
    bytes(range(128, 256)),
    b"no equals sign",
    b"\xff\xfe=\x00",
    b"=",
    b"==",
    b"\r",
]


@pytest.mark.parametrize("junk", JUNK)
@pytest.mark.parametrize("where", ["before", "between", "after"])
def test_junk_lines_do_not_hide_their_neighbours(junk: bytes, where: str) -> None:
    lines = [b"PAGESIZE=4096", b"SYMBOL(a)=c0"]
    lines.insert({"before": 0, "between": 1, "after": 2}[where], junk)
    info = Vmcoreinfo(b"\n".join(lines) + b"\n")
    assert info.page_size() == 4096
    assert info.symbol("a") == 0xC0


def test_digits_of_other_scripts_are_no_digits() -> None:
    info = Vmcoreinfo("SIZE(a)=\u0666\u0664\nNUMBER(a)=\uff16\nSYMBOL(a)=\u00b9\n".encode())
    for ask in (info.size, info.number, info.symbol):
        with pytest.raises(FactInvalid):
            ask("a")


@given(st.binary(max_size=300))
@example(b"PAGESIZE=4096\0\nSIZE(a)=\n")
def test_no_text_makes_anything_but_a_fact_error(text: bytes) -> None:
    info = Vmcoreinfo(text)
    for key, ask in ACCESSORS.items():
        try:
            value = ask(info)
        except FactError as error:
            named = error.name
            assert named == key
        else:
            assert key in info
            assert isinstance(value, str) or -(2**63) <= value < 2**64


KEYS = st.sampled_from(["A", "B", "SIZE(a)", ""])


@given(st.lists(st.tuples(KEYS, st.sampled_from(["1", "2", "=", ""])), max_size=12))
def test_repeated_keys_follow_a_plain_model(pairs: list[tuple[str, str]]) -> None:
    info = Vmcoreinfo("".join(f"{key}={value}\n" for key, value in pairs).encode())
    values = {key: [v for k, v in pairs if k == key] for key in ("A", "B", "SIZE(a)", "")}
    assert len(info) == sum(bool(found) for found in values.values())
    for key, found in values.items():
        if not found:
            with pytest.raises(FactMissing):
                info.text(key)
        elif len(set(found)) > 1:
            with pytest.raises(FactConflict):
                info.text(key)
        else:
            assert info.text(key) == found[0]
