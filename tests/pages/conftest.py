"""Every test of this folder runs twice: with the compiled module, and without it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from vmemmap.pages import one_pass, zero_filled


@pytest.fixture(scope="module", params=["compiled", "careful"], autouse=True)
def way(request: pytest.FixtureRequest) -> Iterator[str]:
    kept = one_pass.compiled
    if request.param == "compiled" and kept is None:
        pytest.skip("the compiled module is not there: a C compiler makes it")
    if request.param == "careful":
        one_pass.compiled = zero_filled.compiled = None
    yield request.param
    one_pass.compiled = zero_filled.compiled = kept
