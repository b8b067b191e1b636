"""Show the main job on a small real dump: unpack it from the test corpus and run the commands.

The dump is of a real kernel (6.1, ppc64le, hash MMU) that was crashed on purpose, cut down to its
metadata; ``tests/corpus/hash-64k-6.1/origin.toml`` says how it came about.
"""

from __future__ import annotations

import lzma
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DUMP = Path("build/demo/vmcore")
COMMANDS = (
    f"info {DUMP}",
    f"list {DUMP}",
    f"vtop {DUMP} 0xc00c000000170040 0xc00c00000017ffff 0xc00c000000180000 0xc0000000027591c0",
)


def main() -> int:
    """Run the commands as a user would type them; give the first unexpected exit code."""
    packed = ROOT / "tests/corpus/hash-64k-6.1/dump.xz"
    (ROOT / DUMP).parent.mkdir(parents=True, exist_ok=True)
    (ROOT / DUMP).write_bytes(lzma.decompress(packed.read_bytes()))
    print(f"A real ppc64le vmcore, cut to its metadata, unpacked to {DUMP}")
    for command in COMMANDS:
        print(f"\n$ vmemmap {command}", flush=True)
        done = subprocess.run(
            [Path(sys.executable).parent / "vmemmap", *shlex.split(command)], cwd=ROOT, check=False
        )
        if done.returncode not in (0, 1):
            return done.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
