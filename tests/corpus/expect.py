"""Turn what crash said of a dump into the expected values of a fixture.

    python tests/corpus/expect.py CRASH_LOG[:PREFIX] ... > tests/corpus/NAME/expected.json

CRASH_LOG is the output of a crash session with ``help -m``, ``vtop ADDRESS`` and ``rd -64 ADDRESS
N`` commands in it; with a PREFIX only the addresses that begin so are taken from it. Nothing here
uses vmemmap: the values are crash's own, only put in order. Of a long list only the digest is kept.
"""

from __future__ import annotations

import hashlib
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


LIST_LINES_KEPT = 200


def expected_from(log: str, prefix: str) -> dict[str, Any]:
    """Read a crash session.

    Returns:
        ``base``, ``block_size``, ``entries`` and ``list_sha256`` (of crash's own lines, byte for
        byte), ``list_lines`` (the lines, if they are few), ``vtop`` (virt to phys, None for "not
        mapped") and ``words`` (address to 64-bit word); addresses in hex.
    """
    result: dict[str, Any] = {"base": None, "block_size": None}
    lines: list[str] = []
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
            lines.append(line + "\n")
        elif asked and (match := _ANSWER.match(line)) and match[1] == asked:
            vtop[asked] = None if match[2].startswith("(") else match[2]
            asked = None
        elif reading and (match := _WORDS.match(line)):
            at = int(match[1], 16)
            for i, word in enumerate(filter(None, match.groups()[1:])):
                words[f"{at + 8 * i:x}"] = word
    result["entries"] = len(lines)
    result["list_sha256"] = hashlib.sha256("".join(lines).encode()).hexdigest()
    result["list_lines"] = lines if len(lines) <= LIST_LINES_KEPT else None
    result["vtop"] = {virt: phys for virt, phys in vtop.items() if virt.startswith(prefix)}
    result["words"] = {virt: word for virt, word in words.items() if virt.startswith(prefix)}
    return result


def main() -> None:
    """Run the command line."""
    result: dict[str, Any] = {}
    for argument in sys.argv[1:]:
        name, _, prefix = argument.partition(":")
        said = expected_from(Path(name).read_text(errors="replace"), prefix)
        if result:
            result["vtop"] |= said["vtop"]
            result["words"] |= said["words"]
        else:
            result = said
    json.dump(result, sys.stdout, indent=1)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
