"""The package where its users are: on ppc64le, beside the libraries that a distribution has there.

``make userland`` fetches a userland of Debian's (``lab/userland.py``). Its pip installs our wheel,
and its Python opens a real dump in the forms that makedumpfile writes; what it prints is what the
package prints here.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from lab.userland import Userland, UserlandUnfit, answers, build_wheel, find

pytestmark = pytest.mark.full
FORMS = ("lzo", "zlib", "snappy", "zstd")
"""LZO is what distributions write there by default."""
TRIED = [pytest.param(True, form, id=form) for form in FORMS]
TRIED.append(pytest.param(False, "lzo", id="lzo, without a compiler"))


Install = Callable[[bool], tuple[Userland, Path]]


@pytest.fixture(scope="module")
def install(tmp_path_factory: pytest.TempPathFactory) -> Install:
    """Give a function that installs the package, with its compiled module or without, once."""

    @cache
    def installed(compiled: bool) -> tuple[Userland, Path]:
        folder = tmp_path_factory.mktemp("ppc64le")
        try:
            userland = find()
            wheel = build_wheel(userland, folder, compiled=compiled)
            return userland, userland.install(wheel, folder / "installed")
        except UserlandUnfit as error:
            pytest.skip(str(error))

    return installed


@pytest.mark.parametrize("compiled", [True, False])
def test_pip_of_the_userland_takes_the_wheel(compiled: bool, install: Install) -> None:
    userland, path = install(compiled)
    code = (
        "import platform, sys, vmemmap, numpy; from vmemmap.source.codecs import decoder;"
        "print(platform.machine(), numpy.__version__, vmemmap.__compiled__, decoder('lzo'))"
    )
    ran = userland.run("-c", code, path=path)
    assert ran.returncode == 0, ran.stderr
    machine, numpy, module, decoder = ran.stdout.split(maxsplit=3)
    assert machine == "ppc64le"
    assert numpy.startswith("1.24.")
    assert module == str(compiled)
    assert ("lzo1x_decompress" in decoder) is compiled


@pytest.mark.parametrize(("compiled", "form"), TRIED)
def test_it_answers_as_here(
    compiled: bool, form: str, install: Install, real_dump: Callable[[str], Path]
) -> None:
    userland, path = install(compiled)
    dump = real_dump(f"hash-64k-6.1/vmcore.d31.{form}")
    for command, there, here in answers(userland, path, dump):
        assert there == here, command
