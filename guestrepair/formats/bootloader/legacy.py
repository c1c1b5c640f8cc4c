"""GRUB 0.97 ("GRUB Legacy"): grub.conf and menu.lst (its manual, "Configuration").

Lines are ``command arguments``, with blanks or ``=`` between; ``title`` begins an entry. A hypervisor
has the kernel and the initial ramdisk as modules.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from guestrepair.errors import FormatError
from guestrepair.formats import kernel_cmdline
from guestrepair.formats.bootloader.entries import MAX_IMAGES, MAX_LINES, KeyLine
from guestrepair.formats.bootloader.lexer import MAX_WORDS
from guestrepair.formats.bootloader.model import MAX_SIZE_BYTES, BootConfiguration, BootEntry, Search, Word
from guestrepair.formats.kernel_cmdline import CommandLine
from guestrepair.formats.lines import byte_lines

_COMMAND = re.compile(rb"[^ \t=]+")
_BETWEEN = re.compile(rb"[ \t=]+")
_WORD = re.compile(rb"[^ \t]+")


@dataclass(slots=True)
class _Title:
    title: str
    line: int
    kernels: list[tuple[Word, Word]] = field(default_factory=list)
    """Of ``kernel`` and each ``module``: the file, and the arguments after it."""
    initrds: list[Word] = field(default_factory=list)
    searches: list[Search] = field(default_factory=list)


def parse_grub_legacy(data: bytes) -> BootConfiguration:
    """The entries of a grub.conf or menu.lst; ``default`` is a number or ``saved``.

    Raises:
        FormatError: too large.
    """
    titles: list[_Title] = []
    default: Word | None = None
    for line in _lines(data):
        if line.key == "title":
            titles.append(_Title(line.value.text, line.line))
        elif titles:
            _take(data, titles[-1], line)
        elif line.key == "default" and default is None:
            default = line.value
    entries: list[BootEntry] = []
    words = 0
    for title in titles:
        entries.append(_entry(data, title))
        words += 1 + len(entries[-1].initrds) + len(entries[-1].cmdline.parameters)
        if words > MAX_WORDS:
            raise FormatError(f"more than {MAX_WORDS} words in a boot loader's configuration")
    return BootConfiguration(tuple(entries), default)


def _lines(data: bytes) -> Iterator[KeyLine]:
    if len(data) > MAX_SIZE_BYTES:
        raise FormatError(f"{len(data)} bytes are too many for a boot loader's configuration")
    offset = found = 0
    for number, raw in enumerate(byte_lines(data), start=1):
        text = raw.rstrip(b" \t\r")
        key = _COMMAND.match(text, len(text) - len(text.lstrip(b" \t")))
        if key is not None and not key[0].startswith(b"#"):
            found += 1
            if found > MAX_LINES:
                raise FormatError(f"more than {MAX_LINES} lines in a boot loader's configuration")
            between = _BETWEEN.match(text, key.end())
            yield KeyLine(_text(key[0]), _word(text, between.end() if between else len(text), offset), number)
        offset += len(raw) + 1


def _word(text: bytes, start: int, offset: int) -> Word:
    return Word(_text(text[start:]), offset + start, len(text) - start)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _take(data: bytes, title: _Title, line: KeyLine) -> None:
    if line.key in {"kernel", "module", "modulenounzip"} and len(title.kernels) < MAX_IMAGES:
        title.kernels.append(_file_and_arguments(data, line.value))
    elif line.key == "initrd" and len(title.initrds) < MAX_IMAGES:
        title.initrds.append(_file_and_arguments(data, line.value)[0])
    elif line.key == "uuid":
        title.searches.append(Search("fs-uuid", line.value, line.line))


def _file_and_arguments(data: bytes, value: Word) -> tuple[Word, Word]:
    """``--no-mem-option (hd0,0)/vmlinuz root=…``: options of the command itself come first."""
    raw = data[value.offset : value.offset + value.length]
    for match in _WORD.finditer(raw):
        if not match[0].startswith(b"--"):
            rest = len(raw) - len(raw[match.end() :].lstrip(b" \t"))
            file = Word(_text(match[0]), value.offset + match.start(), len(match[0]))
            return file, _word(raw, rest, value.offset)
    return value, Word("", value.offset + value.length, 0)


def _entry(data: bytes, title: _Title) -> BootEntry:
    """With modules, what ``kernel`` names is a hypervisor: the first module is the kernel."""
    kernel, arguments = next(iter(title.kernels[1:2] or title.kernels), (None, Word("", 0, 0)))
    raw = data[arguments.offset : arguments.offset + arguments.length]
    return BootEntry(
        title=title.title,
        line=title.line,
        kernel=kernel,
        initrds=(*title.initrds, *(file for file, _ in title.kernels[2:])),
        cmdline=kernel_cmdline.parse(raw, offset=arguments.offset) if raw else CommandLine(()),
        cmdline_offset=arguments.offset,
        cmdline_length=arguments.length,
        searches=tuple(title.searches),
    )
