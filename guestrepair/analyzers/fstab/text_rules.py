"""Rules on the file as a whole: it is missing, or its encoding is none that readers understand."""

from __future__ import annotations

import re
from collections.abc import Iterator

from guestrepair.analyzers.fstab import declarations as rules
from guestrepair.analyzers.fstab import edits
from guestrepair.analyzers.fstab.evidence import DECISIVE, weigh
from guestrepair.analyzers.fstab.facts import FSTAB, Facts
from guestrepair.analyzers.fstab.judgement import State, judge
from guestrepair.analyzers.fstab.malformed import root_line
from guestrepair.analyzers.fstab.names import stable_tag
from guestrepair.analyzers.fstab.rootless import mounter_of_all
from guestrepair.analyzers.fstab.sources import Source, SourceKind
from guestrepair.analyzers.fstab.specs import Spec, from_entry
from guestrepair.formats.fstab import Fstab, escape
from guestrepair.guest.devices import BlockDevice
from guestrepair.model import Edit, Evidence, Finding, GuestPath, Repair, Safety, Severity, WriteFile

_WIDE_BLANK = re.compile(rb"\xc2\xa0|\xe2\x80[\x80-\x8a\xaf]|\xe3\x80\x80")
_NO_WIDTH = re.compile(rb"\xe2\x80[\x8b-\x8d]|(?<!^)\xef\xbb\xbf")
_USUAL = ("/boot/efi", "/efi", "/boot", "/usr", "/home", "/var", "none")


# --- missing ----------------------------------------------------------------------


def check_missing(facts: Facts) -> Iterator[Finding]:
    """No table at all, or one that holds nothing but NUL bytes (a write that was cut off)."""
    data = facts.data
    if data is not None and (not data or data.strip(b"\0")):
        return
    if data is None and facts.guest.exists(FSTAB):
        if facts.guest.is_directory(FSTAB):
            yield _directory(facts)
        return  # it is there and could not be read: that is told apart
    what = "holds nothing but NUL bytes" if data is not None else "is not there"
    mounter = mounter_of_all(facts)
    if mounter is not None:
        message = f"{FSTAB} {what}; the root filesystem needs none: {mounter.value}"
        yield Finding(rules.MISSING.name, Severity.NOTE, str(FSTAB), message, (Evidence(str(FSTAB), what),))
        return
    yield Finding(
        rules.MISSING.name,
        Severity.ERROR,
        str(FSTAB),
        f"{FSTAB} {what}: nothing is mounted but the root filesystem, and that may stay read-only",
        (Evidence(str(FSTAB), what, "a table of filesystems"),),
        _missing_repair(facts, data),
    )


def _directory(facts: Facts) -> Finding:
    facts.unread = [reason for reason in facts.unread if not reason.startswith(f"{FSTAB}:")]
    return Finding(
        rules.MISSING.name,
        Severity.ERROR,
        str(FSTAB),
        f"{FSTAB} is a directory: no table can be read, and nothing is mounted but the root filesystem",
        (Evidence(str(FSTAB), "a directory", "a table of filesystems"),),
        edits.manual("look what is in the directory, move it away, and scan again"),
    )


def _missing_repair(facts: Facts, data: bytes | None) -> Repair:
    for path, table in facts.backups:
        if _is_sound(facts, table):
            change = WriteFile(path=FSTAB, before=data, after=bytes(table), backup=data is not None)
            return Repair(f"copy {path}, whose sources are all on the disks", Safety.REVIEW, (change,))
    lines = generated(facts)
    if lines is None:
        return edits.manual("write the table by hand: no root filesystem is known")
    change = WriteFile(path=FSTAB, before=data, after=b"".join(lines), backup=data is not None)
    return Repair("write it anew from the filesystems on the disks", Safety.REVIEW, (change,))


def _is_sound(facts: Facts, table: Fstab) -> bool:
    if table.malformed or not table.for_target("/"):
        return False
    judged = judge(facts, [from_entry(facts, FSTAB, e) for e in table.entries])
    bad = {State.AMBIGUOUS, State.CONTAINER, State.MISPLACED, State.MISSING}
    return not any(j.state in bad and j.spec.required for j in judged)


def generated(facts: Facts) -> list[bytes] | None:
    """Lines for the root and for every filesystem of which evidence says where it belongs."""
    root = facts.root
    line = None if root is None else root_line(facts, root)
    if root is None or line is None:
        return None
    lines = [("/", line + b"\n")]
    used = {root.name}
    for target in _USUAL:
        device = _belongs(facts, target, used)
        if device is not None:
            used.add(device.name)
            lines.append((target, _line(facts, target, device)))
    return [text for _, text in sorted(lines, key=lambda pair: (pair[0] == "none", pair[0]))]


def _belongs(facts: Facts, target: str, used: set[str]) -> BlockDevice | None:
    swap = target == "none"
    if not swap and not facts.guest.is_directory(GuestPath(target)):
        return None
    spec = Spec(FSTAB, b"", 0, "", target, "swap" if swap else "auto", (), True, 0, 0)
    fitting = []
    for device in facts.block.devices:
        usable = device.content == "swap" if swap else device.is_filesystem and device.content != "swap"
        if not usable or device.name in used or stable_tag(facts, device) is None:
            continue
        found = weigh(facts, spec, Source("", SourceKind.NONE), device)
        if found.weight >= DECISIVE:
            fitting.append(found)
    fitting.sort(key=lambda c: -c.weight)
    if len(fitting) > 1 and fitting[0].weight == fitting[1].weight:
        return None
    return fitting[0].device if fitting else None


def _line(facts: Facts, target: str, device: BlockDevice) -> bytes:
    tag, value = stable_tag(facts, device) or ("UUID", device.uuid)
    options = {"swap": "sw", "vfat": "umask=0077"}.get(device.content, "defaults")
    passno = 2 if device.content.startswith("ext") else 0
    text = f"{tag}={escape(value)} {target} {device.content} {options} 0 {passno}\n"
    return text.encode("utf-8", "surrogateescape")


# --- encoding -----------------------------------------------------------------------


def check_encoding(facts: Facts) -> Iterator[Finding]:
    """Byte-order mark, DOS line ends, no newline at the end."""
    if facts.data and facts.data.strip(b"\0") and facts.table is not None:
        yield from _bytes_out_of_place(facts.table, facts.data)


def plain_text(data: bytes) -> tuple[str, bytes] | None:
    """(what is wrong, the same text as it should be) of a file with NUL bytes or in UTF-16; else None."""
    wide = decoded_utf16(data)
    if wide is not None:
        return "UTF-16 text", _unix_lines(wide)
    if not data.strip(b"\0"):
        return None
    if b"\0" in data:
        return "NUL bytes", _unix_lines(_with_ascii_blanks(data.removeprefix(b"\xef\xbb\xbf")))
    plain = _with_ascii_blanks(data)
    return None if plain == data else ("blanks that are no ASCII blanks", _unix_lines(plain))


def _with_ascii_blanks(data: bytes) -> bytes:
    """The lines that are no comments with plain blanks for no-break ones, and without those of no width.

    A web page or a word processor puts them in; libmount and systemd take them for letters of the field.
    """
    return b"".join(
        line if line.lstrip(b" \t").startswith(b"#") else _NO_WIDTH.sub(b"", _WIDE_BLANK.sub(b" ", line))
        for line in data.splitlines(keepends=True)
    )


def _unix_lines(text: bytes) -> bytes:
    text = text.replace(b"\0", b"").replace(b"\r\n", b"\n")
    return text.removesuffix(b"\r") + (b"" if text.endswith(b"\n") or not text else b"\n")


def rewritten(data: bytes, what: str, after: bytes) -> Finding:
    """The finding on a file that is written anew as plain text."""
    change = WriteFile(path=FSTAB, before=data, after=after)
    repair = Repair("write the same text without them, or as UTF-8", Safety.SAFE, (change,))
    return _encoding(what, Severity.ERROR, repair)


def decoded_utf16(data: bytes) -> bytes | None:
    """The same text as UTF-8, when the file is UTF-16 with its byte-order mark."""
    if not data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return None
    return data.decode("utf-16", "replace").encode()


def _bytes_out_of_place(table: Fstab, data: bytes) -> Iterator[Finding]:
    problems = []
    changes = []
    if table.bom:
        problems.append("a byte-order mark")
        changes.append(Edit(offset=0, length=len(table.bom), text=b""))
    if table.has_crlf:
        problems.append("DOS line ends")
        ends = [line.offset + len(line.raw) - 1 for line in table.lines if line.raw.endswith(b"\r")]
        changes += [Edit(offset=end, length=1, text=b"") for end in ends]
    newline = Edit(offset=len(data), length=0, text=b"\n")
    if problems:
        if table.lacks_final_newline:
            changes.append(newline)
        summary = f"take out {', '.join(problems)}"
        repair = edits.repair(FSTAB, data, summary, Safety.SAFE, *changes)
        yield _encoding(", ".join(problems), Severity.ERROR, repair)
    elif table.lacks_final_newline:
        repair = edits.repair(FSTAB, data, "end the last line", Safety.SAFE, newline)
        yield _encoding("no newline at its end", Severity.WARNING, repair)


def _encoding(what: str, severity: Severity, repair: Repair) -> Finding:
    why = (
        "the next line appended to it is joined to the last"
        if severity is Severity.WARNING
        else "its readers take these bytes for parts of the fields"
    )
    return Finding(
        rules.BAD_ENCODING.name,
        severity,
        str(FSTAB),
        f"{FSTAB} has {what}: {why}",
        (Evidence(str(FSTAB), what, "plain text, each line ended by a newline"),),
        repair,
    )
