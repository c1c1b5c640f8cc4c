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
from guestrepair.formats.bootloader.model import MAX_SIZE_BYTES, BootConfiguration, BootEntry, Word
from guestrepair.formats.kernel_cmdline import CommandLine

_LINE = re.compile(rb"[^\n]*\n?")
_KEY = re.compile(rb"[ \t]*(?P<key>[^ \t\r\n]+)(?:[ \t]+(?P<value>[^\r\n]*?))?[ \t]*\r?\n?\Z")


@dataclass(frozen=True, slots=True)
class KeyLine:
    """``key value`` of one line; ``line`` counts from 1."""

    key: str
    value: Word
    line: int


def key_lines(data: bytes) -> Iterator[KeyLine]:
    """The lines that are neither blank nor comment.

    Raises:
        FormatError: the text is larger than any real configuration.
    """
    if len(data) > MAX_SIZE_BYTES:
        raise FormatError(f"{len(data)} bytes are too many for a boot loader's configuration")
    for number, match in enumerate(_LINE.finditer(data), start=1):
        parts = _KEY.match(match[0])
        if parts is None or parts["key"].startswith(b"#"):
            continue
        value = parts["value"] or b""
        offset = match.start() + (parts.start("value") if parts["value"] is not None else parts.end("key"))
        yield KeyLine(_text(parts["key"]), Word(_text(value), offset, len(value)), number)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _cmdline(data: bytes, *values: Word) -> CommandLine:
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
    for match in re.finditer(rb"[^%s]+" % re.escape(separator), raw):
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
    entries = tuple(_extlinux_entry(data, label, shared_append) for label in labels if label.kernel)
    return BootConfiguration(entries, default, (), tuple(includes))


def _extlinux_key(data: bytes, label: _Label, keyword: str, value: Word) -> None:
    if keyword in {"kernel", "linux"}:
        label.kernel = value
    elif keyword == "append":
        label.append = value
    elif keyword == "initrd":
        label.initrds.extend(_words(data, value, separator=b","))
    elif keyword == "menu" and value.text.lower().startswith("label "):
        label.title = value.text[6:].strip()


def _extlinux_entry(data: bytes, label: _Label, shared: Word | None) -> BootEntry:
    append = label.append or shared
    cmdline = _cmdline(data, append) if append else CommandLine(())
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
    """
    found = []
    for parameter in entry.cmdline.parameters:
        name = parameter.name.removeprefix("$").strip("{}")
        if not parameter.name.startswith("$") or parameter.value is not None:
            found.append(parameter)
            continue
        text = variables.get(name, "").encode("utf-8", "surrogateescape")
        found.extend(
            replace(p, offset=-1, length=0, value_offset=-1, value_length=0)
            for p in kernel_cmdline.parse(text).parameters
        )
    return replace(entry, cmdline=CommandLine(tuple(found)))
