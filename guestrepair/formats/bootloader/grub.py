"""GRUB 2: grub.cfg, /etc/default/grub and the environment block (GNU GRUB manual, "Configuration").

A grub.cfg is a script. It is not run here: entries, searches and plain ``set`` commands are taken as they
stand, in all branches of its conditions; ``$name`` is replaced where a plain ``set`` gave it a value.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from guestrepair.formats.bootloader.lexer import Statement, statements, unquoted_bytes
from guestrepair.formats.bootloader.model import BootConfiguration, BootEntry, Search, Word
from guestrepair.formats.kernel_cmdline import CommandLine, Parameter

_LINUX = frozenset({"linux", "linux16", "linuxefi"})
_INITRD = frozenset({"initrd", "initrd16", "initrdefi"})
_VARIABLE = re.compile(r"\$\{?[A-Za-z_][A-Za-z0-9_]*\}?")
_SEARCH_KEYS = {
    "--fs-uuid": "fs-uuid", "-u": "fs-uuid",
    "--label": "label", "-l": "label", "--fs-label": "label",
    "--file": "file", "-f": "file",
}  # fmt: skip


@dataclass(slots=True)
class _Open:
    """An entry or submenu while its braces are open."""

    title: str
    line: int
    is_entry: bool
    identifier: str = ""
    kernel: Word | None = None
    initrds: list[Word] = field(default_factory=list)
    arguments: tuple[Word, ...] = ()
    searches: list[Search] = field(default_factory=list)


MAX_DEPTH = 64
"""Menus inside menus that are looked at; a file that nests deeper was made to keep a reader busy."""


@dataclass(slots=True)
class _Reader:
    data: bytes
    entries: list[BootEntry] = field(default_factory=list)
    searches: list[Search] = field(default_factory=list)
    includes: list[Word] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)
    stack: list[_Open] = field(default_factory=list)
    default: Word | None = None
    uses_bls: bool = False

    def take(self, statement: Statement) -> None:
        """Follow one command, and those that stand after its opening brace on the same line."""
        words = [w for w in statement.words if w.text not in {"then", "else", "do"}]
        at = 0
        while at < len(words):
            name = words[at].text
            if name not in {"menuentry", "submenu", "function"}:
                self._simple(name, words[at + 1 :], statement.line)
                return
            brace = next((i for i in range(at + 1, len(words)) if words[i].text == "{"), len(words))
            self._open(name, words[at + 1 : brace], statement.line)
            at = brace + 1

    def _simple(self, name: str, arguments: Sequence[Word], line: int) -> None:
        if name == "}":
            self._close()
        else:
            self._command(name, arguments, line)

    def _open(self, name: str, arguments: Sequence[Word], line: int) -> None:
        title = arguments[0].text if arguments else ""
        opened = _Open(title, line, name == "menuentry", _identifier(arguments))
        self.stack.append(opened)

    def _close(self) -> None:
        if not self.stack:
            return
        done = self.stack.pop()
        if done.is_entry:
            around = [s for s in self.stack[:MAX_DEPTH] if not s.is_entry]
            self.entries.append(_entry(self.data, done, around))

    def _command(self, name: str, arguments: Sequence[Word], line: int) -> None:
        entry = next((s for s in reversed(self.stack[-MAX_DEPTH:]) if s.is_entry), None)
        if name == "search":
            found = _search(arguments, line)
            if found is not None:
                (self.searches if entry is None else entry.searches).append(found)
        elif name.removeprefix("search.") in {"fs_uuid", "fs_label"} and arguments:
            by = "fs-uuid" if name.endswith("uuid") else "label"
            (self.searches if entry is None else entry.searches).append(Search(by, arguments[0], line))
        elif entry is not None and name in _LINUX and arguments:
            entry.kernel, entry.arguments = arguments[0], tuple(arguments[1:])
        elif entry is not None and name in _INITRD:
            entry.initrds.extend(arguments)
        elif name == "set" and arguments:
            self._set(arguments[0])
        elif name in {"configfile", "source", "."} and arguments:
            self.includes.append(arguments[0])
        elif name == "blscfg":
            self.uses_bls = True

    def _set(self, word: Word) -> None:
        name, equals, value = word.text.partition("=")
        if not equals:
            return
        if name == "default" and "$" not in value:
            self.default = _value_word(self.data, word, len(name) + 1)
        self.variables.setdefault(name, value)


def parse_grub_cfg(data: bytes) -> BootConfiguration:
    """Parse a grub.cfg. Entries that are cut off by the end of the file count as well.

    Raises:
        FormatError: too large, or an unclosed quote.
    """
    reader = _Reader(data)
    for statement in statements(data):
        reader.take(statement)
        # "menuentry … {" opens a brace; "}" may follow commands on one line.
        if statement.name != "}" and len(statement.words) > 1 and statement.words[-1].text == "}":
            reader.take(Statement((statement.words[-1],), statement.line))
    while reader.stack:
        reader.take(Statement((Word("}", len(data), 0),), 0))
    return BootConfiguration(
        tuple(reader.entries),
        reader.default,
        tuple(reader.searches),
        tuple(reader.includes),
        reader.uses_bls,
        reader.variables,
    )


def _identifier(arguments: Sequence[Word]) -> str:
    for index, word in enumerate(arguments):
        if word.text in {"--id", "$menuentry_id_option"} and index + 1 < len(arguments):
            return arguments[index + 1].text
        if word.text.startswith("--id="):
            return word.text.removeprefix("--id=")
    return ""


def _search(arguments: Sequence[Word], line: int) -> Search | None:
    by = "file"
    value: Word | None = None
    skip = False
    for word in arguments:
        if skip:
            skip = False
        elif word.text in _SEARCH_KEYS:
            by = _SEARCH_KEYS[word.text]
        elif word.text in {"--set", "-s", "--hint", "-h"}:
            # "--set" may stand alone before the value: its own argument is a variable's name.
            skip = word.text in {"--hint", "-h"}
        elif not word.text.startswith("-") and word.text not in {"{", "}", "root"}:
            value = word
    return None if value is None else Search(by, value, line)


def _entry(data: bytes, done: _Open, around: Sequence[_Open]) -> BootEntry:
    words = [w for w in done.arguments if w.text != "}"]
    start = words[0].offset if words else (done.kernel.offset + done.kernel.length if done.kernel else 0)
    end = words[-1].offset + words[-1].length if words else start
    return BootEntry(
        title=done.title,
        line=done.line,
        kernel=done.kernel,
        initrds=tuple(w for w in done.initrds if w.text != "}"),
        cmdline=command_line(data, words),
        cmdline_offset=start,
        cmdline_length=end - start,
        identifier=done.identifier,
        parents=tuple(menu.title for menu in around),
        parent_names=tuple(menu.identifier for menu in around),
        searches=tuple(done.searches),
        uses_variables=any(_VARIABLE.search(w.text) for w in words),
    )


def command_line(data: bytes, words: Sequence[Word]) -> CommandLine:
    """The kernel parameters that a script's words give, each with its place in the file."""
    return CommandLine(tuple(_parameter(data, word) for word in words))


def _parameter(data: bytes, word: Word) -> Parameter:
    name, equals, value = word.text.partition("=")
    if not equals:
        return Parameter(name, None, word.offset, word.length, word.offset + word.length, 0)
    inner = _value_word(data, word, len(name.encode("utf-8", "surrogateescape")) + 1)
    return Parameter(name, value.strip('"'), word.offset, word.length, inner.offset, inner.length)


def _value_word(data: bytes, word: Word, skip_bytes: int) -> Word:
    """The part of a word after its first ``skip_bytes`` unquoted bytes, with its own place."""
    raw = data[word.offset : word.offset + word.length]
    kept = bytearray()
    start = end = -1
    for byte, at in itertools.islice(unquoted_bytes(raw), skip_bytes, None):
        start = at if start < 0 else start
        end = at + 1
        kept.append(byte)
    if not kept:
        return Word("", word.offset + word.length, 0)
    return Word(kept.decode("utf-8", "surrogateescape"), word.offset + start, end - start)


@dataclass(frozen=True, slots=True)
class Assignment:
    """``NAME=value`` of a shell fragment: ``value`` is the text without quotes and where it is written."""

    name: str
    value: Word
    line: int
    appends: bool = False


def parse_default_grub(data: bytes) -> tuple[Assignment, ...]:
    """The assignments of /etc/default/grub and /etc/default/grub.d/*.cfg, in order.

    Raises:
        FormatError: too large, or an unclosed quote.
    """
    found = []
    for statement in statements(data):
        for word in statement.words:
            match = re.match(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?P<plus>\+?)=", word.text)
            if match is None:
                if word.text != "export":
                    break
                continue
            value = _value_word(data, word, match.end())
            found.append(Assignment(match["name"], value, statement.line, bool(match["plus"])))
    return tuple(found)


def parse_environment(data: bytes) -> dict[str, Word]:
    """A GRUB environment block (grubenv, 1024 bytes): names and their values.

    Edits must keep the length of the block: the rest is filled with ``#``.
    """
    found: dict[str, Word] = {}
    offset = 0
    for raw in data[: 64 * 1024].split(b"\n"):
        name, equals, value = raw.partition(b"=")
        if equals and not raw.startswith(b"#"):
            text = value.decode("utf-8", "surrogateescape").replace("\\\\", "\\")
            key = name.decode("utf-8", "surrogateescape")
            found[key] = Word(text, offset + len(name) + 1, len(value))
        offset += len(raw) + 1
    return found
