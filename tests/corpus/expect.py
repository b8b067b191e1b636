"""Turn what crash said of a dump into the expected values of a fixture.

    python tests/corpus/expect.py CRASH_LOG > tests/corpus/NAME/expected.json

CRASH_LOG is the output of a crash session with ``help -m``, ``vtop ADDRESS`` and ``rd -64 ADDRESS
N`` commands in it. Nothing here uses vmemmap: the values are crash's own, only put in order.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

_SETTING = re.compile(r"\s*vmemmap_(base|cnt|psize): ([0-9a-f]+)$")
_ENTRY = re.compile(r"\s*vmemmap_list\[\d+\]: virt: [0-9a-f]+  phys: [0-9a-f]+$")
_VTOP = re.compile(r"crash> vtop ([0-9a-f]+)$")
_ANSWER = re.compile(r"([0-9a-f]{16})  ([0-9a-f]+|\(not mapped\))\s*$")
_RD = re.compile(r"crash> rd -64 ([0-9a-f]+) \d+$")
_WORDS = re.compile(r"([0-9a-f]{16}):  ([0-9a-f]{16})(?: ([0-9a-f]{16}))?")


def expected_from(log: str) -> dict[str, Any]:
    """Read a crash session.

    Returns:
        ``base``, ``block_size``, ``list_lines`` (crash's own, byte for byte), ``vtop`` (virt to
        phys, None for "not mapped") and ``words`` (address to 64-bit word); addresses in hex.
    """
    result: dict[str, Any] = {"base": None, "block_size": None, "list_lines": []}
    vtop: dict[str, str | None] = {}
    words: dict[str, str] = {}
    asked: str | None = None
    reading = False
    for line in log.splitlines():
        if line.startswith("crash> "):
            match = _VTOP.match(line)
            asked = match[1] if match else None
            reading = _RD.match(line) is not None
        elif match := _SETTING.match(line):
            if match[1] == "base":
                result["base"] = match[2]
            elif match[1] == "psize":
                result["block_size"] = int(match[2])
        elif _ENTRY.match(line):
            result["list_lines"].append(line)
        elif asked and (match := _ANSWER.match(line)) and match[1] == asked:
            vtop[asked] = None if match[2].startswith("(") else match[2]
            asked = None
        elif reading and (match := _WORDS.match(line)):
            at = int(match[1], 16)
            for i, word in enumerate(filter(None, match.groups()[1:])):
                words[f"{at + 8 * i:x}"] = word
    return result | {"vtop": vtop, "words": words}


def main() -> None:
    """Run the command line."""
    log = Path(sys.argv[1]).read_text(errors="replace")
    json.dump(expected_from(log), sys.stdout, indent=1)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
