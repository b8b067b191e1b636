"""What the guests plant is what is looked for, and the program that plants some of it runs."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path

import pytest
from lab import plant_program
from lab.qemu import GUEST_SCRIPTS

from oracles import makedumpfile


def test_script_and_checks_have_the_same_texts() -> None:
    script = (GUEST_SCRIPTS / "plant.sh").read_text()
    assert f'echo "{plant_program.MARK.format("$1")}"' in script
    for kind in ("xattr", "key"):
        assert plant_program.MARK.format(kind).encode() in plant_program.build()


@pytest.mark.skipif(
    not makedumpfile.EMULATOR and platform.machine() != "ppc64le",
    reason="qemu-user is not installed",
)
def test_program_runs_to_its_end_and_says_what_failed(tmp_path: Path) -> None:
    """Here there is nothing to set an attribute of, and qemu-user knows no keys on most hosts."""
    program = tmp_path / "plant"
    program.write_bytes(plant_program.build())
    program.chmod(0o755)
    run = [] if makedumpfile.NATIVE else [str(makedumpfile.EMULATOR)]
    ended = subprocess.run([*run, str(program)], timeout=60, check=False).returncode
    assert ended in (1, 3)
