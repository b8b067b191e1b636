"""Lines made column by column are those that Python's own formatting makes."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vmemmap.report.number_lines import in_decimal, in_hex, joined, literal, padding

NUMBERS = st.lists(
    st.one_of(
        st.integers(0, 2**64 - 1),
        st.integers(0, 70).map(lambda bits: (1 << min(bits, 63)) - (bits > 63)),
        st.sampled_from([0, 9, 10, 9_999, 10_000, 99_999_999, 10**19, 2**64 - 1]),
    ),
    min_size=1,
    max_size=40,
)


def column(numbers: list[int]) -> np.ndarray:
    return np.array(numbers, dtype=np.uint64)


@given(NUMBERS)
def test_numbers_have_no_zeros_before_them(numbers: list[int]) -> None:
    end = literal("\n", len(numbers))
    assert joined([in_hex(column(numbers)), end]) == "".join(f"{n:x}\n" for n in numbers)
    assert joined([in_decimal(column(numbers)), end]) == "".join(f"{n}\n" for n in numbers)


@given(NUMBERS, NUMBERS, st.integers(0, 30))
def test_padding_goes_by_the_width_of_all_parts(
    left: list[int], right: list[int], width: int
) -> None:
    count = min(len(left), len(right))
    left, right = left[:count], right[:count]
    parts = [in_decimal(column(left)), literal("-", count), in_hex(column(right))]
    text = joined([padding(width, *parts), *parts, literal("|", count)])
    assert text == "".join(f"{f'{a}-{b:x}':>{width}}|" for a, b in zip(left, right, strict=True))
    text = joined([parts[0], padding(width, parts[0]), literal("|", count)])
    assert text == "".join(f"{a:<{width}}|" for a in left)
