"""Takes names out of the kernel's log: of hosts, nets, devices, users, processes and the like.

What goes is replaced by a word of the same length, so that the log lies as it did: ``host1****``
for db7.local, and the same word for the same text wherever it is. What is no text of the kernel's,
but was logged by a process, goes as a whole.

Patterns cannot know a name that looks like any word. So what is known to be a name elsewhere is
looked for, too: the machine's own, and every value of the command line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from vmemmap.extract.scrub_rules import (
    ADDRESS_RULE,
    ARGUMENTS,
    ARGUMENTS_FOLLOW,
    COMMAND_LINES,
    MARKS,
    PLAIN_PARAMETERS,
    RULES,
    Kind,
)

_NAME_MIN = 3
_NAMES_MAX = 4096
"""Names are looked for in each message. A command line has at most 2048 bytes."""
_NOT_PLAIN = re.compile(rb"[^\t\n -~]")
_PLAIN_WORDS = frozenset(b"auto none true false default force enable disable quiet".split())
_COMMON = frozenset(b"localhost linux kernel none console".split())


class Scrubber:
    """Replaces what names somebody or something, the same text by the same word.

    Args:
        names: What is known to be a name, such as the host's.
        hide_addresses: Addresses are replaced, too.

    Attributes:
        counts: How many places were changed, by kind.
    """

    def __init__(self, names: Iterable[bytes] = (), *, hide_addresses: bool = False) -> None:
        self.counts: dict[Kind, int] = {}
        self._rules = (*RULES, ADDRESS_RULE) if hide_addresses else RULES
        self._words: dict[tuple[Kind, bytes], int] = {}
        self._used: dict[Kind, int] = {}
        self._names: dict[bytes, Kind] = {}
        self._pattern: re.Pattern[bytes] | None = None
        self._in_arguments = False
        for name in names:
            self._learn(name, Kind.HOST)
            self._learn(name.split(b".")[0], Kind.HOST)

    def learn(self, text: bytes) -> None:
        """Take note of the names in a message, so that they are known in earlier ones, too."""
        match = COMMAND_LINES.search(text)
        for word in match["it"].split() if match else ():
            if not PLAIN_PARAMETERS.fullmatch(word.strip(b'"')):
                value = word.partition(b"=")[2].strip(b'",')
                for part in (value, *re.split(rb"[:,=/]", value)):
                    self._learn(part, Kind.COMMAND_LINE)

    def _learn(self, name: bytes, kind: Kind) -> None:
        plain = name.isdigit() or name.lower() in _PLAIN_WORDS | _COMMON
        # A short word would be found everywhere.
        short = kind is not Kind.HOST and len(name) < _NAME_MIN + 2
        if len(name) < _NAME_MIN or plain or short or len(self._names) >= _NAMES_MAX:
            return
        if name not in self._names:
            self._names[name] = kind
            self._pattern = None

    def scrub(self, text: bytes, *, of_kernel: bool = True) -> bytes:
        """Give a message without what names somebody or something.

        Args:
            text: The message.
            of_kernel: The kernel logged it itself.

        Returns:
            As many bytes, all of them printable ASCII or white space.
        """
        if not of_kernel:
            return self._word(Kind.MESSAGE, text)
        text = _NOT_PLAIN.sub(b"?", text)
        match = COMMAND_LINES.search(text)
        if match is not None:
            start, end = match.span("it")
            return text[:start] + self._command_line(text[start:end])
        return b"\n".join(self._line(line) for line in text.split(b"\n"))

    def _line(self, line: bytes) -> bytes:
        if ARGUMENTS_FOLLOW.fullmatch(line):
            self._in_arguments = True
            return line
        match = ARGUMENTS.match(line) if self._in_arguments else None
        self._in_arguments = match is not None
        if match is not None:
            return line[: match.start("it")] + self._word(Kind.ARGUMENT, match["it"])
        names = self._name_pattern()
        if names is not None:
            line = names.sub(lambda m: self._word(self._names[m[0]], m[0]), line)
        for kind, pattern in self._rules:
            line = self._apply(kind, pattern, line)
        return line

    def _apply(self, kind: Kind, pattern: re.Pattern[bytes], line: bytes) -> bytes:
        """Replace every place where a pattern fits."""
        out, at = [], 0
        for match in pattern.finditer(line):
            group = "it" if match["it"] is not None else "it2"
            start, end = match.span(group)
            out += [line[at:start], self._word(kind, line[start:end])]
            at = end
        return b"".join([*out, line[at:]])

    def _command_line(self, text: bytes) -> bytes:
        """Replace the values of all parameters but those that tell of memory."""
        parts = re.split(rb"(\s+)", text)
        return b"".join(self._parameter(part) for part in parts)

    def _parameter(self, word: bytes) -> bytes:
        if not word.strip() or PLAIN_PARAMETERS.fullmatch(word.strip(b'",')):
            return word
        name, sign, value = word.partition(b"=")
        if not sign:  # a flag of the kernel's is a plain word; what is none may be anything
            plain = re.fullmatch(rb"[a-z_]{1,16}\"?,?", word) is not None
            return word if plain else self._word(Kind.COMMAND_LINE, word)
        return name + sign + self._word(Kind.COMMAND_LINE, value)

    def _name_pattern(self) -> re.Pattern[bytes] | None:
        if self._pattern is None and self._names:
            longest_first = sorted(self._names, key=len, reverse=True)
            words = b"|".join(re.escape(name) for name in longest_first)
            self._pattern = re.compile(rb"(?<![A-Za-z0-9])(?:" + words + rb")(?![A-Za-z0-9])")
        return self._pattern

    def _word(self, kind: Kind, text: bytes) -> bytes:
        """Give what stands for a text: of the same length, and the same one for the same text."""
        if not text.strip(b" *"):
            return text
        self.counts[kind] = self.counts.get(kind, 0) + 1
        number = self._words.get((kind, text))
        if number is None:
            number = self._used.get(kind, 0) + 1
            self._words[kind, text] = self._used[kind] = number
        mark = b"%s%d" % (MARKS[kind], number)
        if len(mark) > len(text):
            mark = b""
        return mark + b"*" * (len(text) - len(mark))
