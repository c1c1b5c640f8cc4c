"""Line-based configurations: Boot Loader Specification entries, extlinux, /etc/kernel/cmdline, loader.conf.

Sources: the UAPI group's Boot Loader Specification, "Type #1"; the Syslinux manual, "Config";
kernel-install(8).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from guestrepair.errors import FormatError
from guestrepair.formats import kernel_cmdline
from guestrepair.formats.bootloader.lexer import MAX_WORDS
from guestrepair.formats.bootloader.model import MAX_SIZE_BYTES, BootConfiguration, BootEntry, Word
from guestrepair.formats.kernel_cmdline import MAX_LENGTH, CommandLine, Parameter
from guestrepair.formats.lines import byte_lines

MAX_LINES = 20_000
"""Lines of one file that say something."""
MAX_IMAGES = 64
"""Initial ramdisks of one line."""

_KEY = re.compile(rb"[^ \t\r]+")


@dataclass(frozen=True, slots=True)
class KeyLine:
    """``key value`` of one line; ``line`` counts from 1."""

    key: str
    value: Word
    line: int


def key_lines(data: bytes) -> Iterator[KeyLine]:
    """The lines that are neither blank nor comment.

    Raises:
        FormatError: the text is larger than any real configuration, or has more lines.
    """
    if len(data) > MAX_SIZE_BYTES:
        raise FormatError(f"{len(data)} bytes are too many for a boot loader's configuration")
    offset = found = 0
    for number, raw in enumerate(byte_lines(data), start=1):
        line = _key_line(raw, offset, number)
        offset += len(raw) + 1
        if line is None:
            continue
        found += 1
        if found > MAX_LINES:
            raise FormatError(f"more than {MAX_LINES} lines in a boot loader's configuration")
        yield line


def _key_line(raw: bytes, offset: int, number: int) -> KeyLine | None:
    """One line without its end, which begins at ``offset``; None when it is blank, a comment or no text."""
    text = raw.removesuffix(b"\r")
    key = _KEY.match(text, len(text) - len(text.lstrip(b" \t")))
    if key is None or key[0].startswith(b"#") or b"\r" in text:
        return None
    rest = text[key.end() :].lstrip(b" \t")
    value = rest.rstrip(b" \t")
    place = offset + len(text) - len(rest)
    return KeyLine(_text(key[0]), Word(_text(value), place, len(value)), number)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _cmdline(data: bytes, *values: Word) -> CommandLine:
    if sum(v.length for v in values) > MAX_LENGTH:
        raise FormatError(f"a kernel command line of more than {MAX_LENGTH} bytes on several lines")
    parsed = (kernel_cmdline.parse(data[v.offset : v.offset + v.length], offset=v.offset) for v in values)
    return CommandLine(tuple(p for line in parsed for p in line.parameters))


def parse_bls_entry(data: bytes, *, identifier: str = "") -> BootEntry:
    """One file of /boot/loader/entries; ``identifier`` is its name without ``.conf``.

    Raises:
        FormatError: too large.
    """
    lines = list(key_lines(data))
    first = {line.key: line for line in reversed(lines)}
    options = [line.value for line in lines if line.key == "options"]
    kernel = first.get("linux") or first.get("efi") or first.get("uki")
    initrds = [w for line in lines if line.key == "initrd" for w in _words(data, line.value)]
    title, version = first.get("title"), first.get("version")
    return BootEntry(
        title=title.value.text if title else identifier,
        line=kernel.line if kernel else 1,
        kernel=kernel.value if kernel else None,
        initrds=tuple(initrds),
        cmdline=_cmdline(data, *options),
        cmdline_offset=options[0].offset if options else 0,
        cmdline_length=options[0].length if options else 0,
        identifier=identifier,
        version=version.value.text if version else "",
        uses_variables=any("$" in option.text for option in options),
    )


def _words(data: bytes, value: Word, *, separator: bytes = b" \t") -> Iterator[Word]:
    raw = data[value.offset : value.offset + value.length]
    for number, match in enumerate(re.finditer(rb"[^%s]+" % re.escape(separator), raw)):
        if number == MAX_IMAGES:
            raise FormatError(f"more than {MAX_IMAGES} images on one line")
        yield Word(_text(match[0]), value.offset + match.start(), len(match[0]))


def parse_cmdline_file(data: bytes) -> CommandLine:
    """/etc/kernel/cmdline and /usr/lib/kernel/cmdline: arguments on any number of lines.

    Raises:
        FormatError: too large.
    """
    return kernel_cmdline.parse(data)


def parse_loader_conf(data: bytes) -> BootConfiguration:
    """systemd-boot's loader.conf: its default pattern (loader.conf(5)).

    Raises:
        FormatError: too large.
    """
    default: Word | None = None
    for line in key_lines(data):
        if line.key == "default":
            default = line.value
    return BootConfiguration(default=default, uses_bls=True)


@dataclass(slots=True)
class _Label:
    name: str
    line: int
    title: str = ""
    kernel: Word | None = None
    append: Word | None = None
    initrds: list[Word] = field(default_factory=list)


def parse_extlinux(data: bytes) -> BootConfiguration:
    """extlinux.conf, syslinux.cfg, and U-Boot's use of the same format. Keywords have no case.

    Raises:
        FormatError: too large.
    """
    labels: list[_Label] = []
    default: Word | None = None
    shared_append: Word | None = None
    includes: list[Word] = []
    for line in key_lines(data):
        keyword = line.key.lower()
        current = labels[-1] if labels else None
        if keyword in {"default", "ontimeout"} and default is None:
            default = line.value
        elif keyword == "label":
            labels.append(_Label(line.value.text, line.line))
        elif keyword == "include":
            includes.append(line.value)
        elif current is not None:
            _extlinux_key(data, current, keyword, line.value)
        elif keyword == "append":
            shared_append = line.value
    shared = _cmdline(data, shared_append) if shared_append else CommandLine(())
    entries: list[BootEntry] = []
    words = 0
    for label in (label for label in labels if label.kernel):
        entries.append(_extlinux_entry(data, label, shared_append, shared))
        words += len(entries[-1].initrds) + (len(entries[-1].cmdline.parameters) if label.append else 0)
        if words > MAX_WORDS:
            raise FormatError(f"more than {MAX_WORDS} words in a boot loader's configuration")
    return BootConfiguration(tuple(entries), default, (), tuple(includes))


def _extlinux_key(data: bytes, label: _Label, keyword: str, value: Word) -> None:
    if keyword in {"kernel", "linux"}:
        label.kernel = value
    elif keyword == "append":
        label.append = value
    elif keyword == "initrd":
        label.initrds.extend(_words(data, value, separator=b","))
    elif keyword == "menu" and value.text.lower().startswith("label "):
        label.title = value.text[6:].strip()


def _extlinux_entry(data: bytes, label: _Label, shared: Word | None, parsed: CommandLine) -> BootEntry:
    """The entry of a label; one without its own arguments has the shared ones, which are ``parsed`` once."""
    append = label.append or shared
    cmdline = _cmdline(data, label.append) if label.append else parsed
    initrds = list(label.initrds)
    written = cmdline.last("initrd")
    if written is not None and written.value:
        initrds.extend(
            _words(data, Word(written.value, written.value_offset, written.value_length), separator=b",")
        )
    return BootEntry(
        title=label.title or label.name,
        line=label.line,
        kernel=label.kernel,
        initrds=tuple(initrds),
        cmdline=cmdline,
        cmdline_offset=append.offset if append else 0,
        cmdline_length=append.length if append else 0,
        identifier=label.name,
    )


def with_variables(entry: BootEntry, variables: dict[str, str]) -> BootEntry:
    """The entry with ``$kernelopts`` and its like replaced by what the environment block or grub.cfg gives.

    The replaced parameters have no place of their own: their offsets are -1.

    Raises:
        FormatError: it is longer then than any real one.
    """
    found: list[Parameter] = []
    filled: dict[str, list[Parameter]] = {}
    for parameter in entry.cmdline.parameters:
        name = parameter.name.removeprefix("$").strip("{}")
        if not parameter.name.startswith("$") or parameter.value is not None:
            found.append(parameter)
            continue
        if name not in filled:
            text = variables.get(name, "").encode("utf-8", "surrogateescape")
            filled[name] = [
                replace(p, offset=-1, length=0, value_offset=-1, value_length=0)
                for p in kernel_cmdline.parse(text).parameters
            ]
        found += filled[name]
        if len(found) > MAX_LENGTH:
            raise FormatError(
                "a kernel command line that grows without bound when its variables are filled in"
            )
    return replace(entry, cmdline=CommandLine(tuple(found)))
