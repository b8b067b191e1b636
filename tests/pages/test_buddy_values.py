"""What marks a free block where VMCOREINFO does not say it: ppc64-kernel.md, 5.6, by release."""

from __future__ import annotations

import pytest

from builders.vmcoreinfo import vmcoreinfo_text
from pages.machines import machine_of
from vmemmap.facts.release import Release
from vmemmap.facts.vmcoreinfo.text import Vmcoreinfo
from vmemmap.pages.layout.page_layout import find_page_layout

KEY = "NUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)"


@pytest.mark.parametrize(
    ("release", "value"),
    [
        ("2.6.38", -2),
        ("2.6.39", -128),
        ("3.0.101", -128),
        ("3.8.13", -128),
        ("4.17.19", -128),
        ("4.18.0", -129),
        ("6.10.14", -129),
        ("6.11.0", -1073741825),
        ("6.12.0", -268435456),
        ("7.3.0", -268435456),
    ],
)
def test_each_era_has_its_own(release: str, value: int) -> None:
    machine = machine_of(release, "big")
    machine.vmcoreinfo.pop(KEY, None)
    info = Vmcoreinfo(vmcoreinfo_text(machine.vmcoreinfo))
    layout = find_page_layout(info, machine.struct_page_size, "big", 65536, Release(release))
    assert layout.buddy == value & 0xFFFF_FFFF
    (fact,) = (fact for fact in layout.facts if "BUDDY" in fact.name)
    assert fact.origin == "assumed"


def test_before_2_6_38_it_is_a_flag() -> None:
    machine = machine_of("2.6.37", "big")
    info = Vmcoreinfo(vmcoreinfo_text(machine.vmcoreinfo))
    layout = find_page_layout(info, machine.struct_page_size, "big", 65536, Release("2.6.37"))
    assert (layout.buddy, layout.bits["buddy"]) == (None, 19)
