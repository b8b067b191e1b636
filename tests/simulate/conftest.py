"""What the simulator's tests share."""

from __future__ import annotations

import pytest

from vmemmap.simulate.memory import image


@pytest.fixture
def kernel_text() -> None:
    """Asked for by the tests whose machines have the text of a kernel."""


@pytest.fixture(autouse=True)
def _no_kernel_text(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave 12 MiB out of the image: most of what a small machine boots with, and of its dump."""
    if "kernel_text" not in request.fixturenames:
        monkeypatch.setattr(image, "TEXT_BYTES", 0)
