"""Lines that do not parse: find the one reading that makes sense of their words, or take them out of use."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from guestrepair.formats.fstab import (
    Entry,
    Fstab,
    Line,
    Malformed,
    Token,
    escape,
    is_pasted,
    parse,
    split_tag,
    unescape,
)
from guestrepair.formats.splice import Splice, spliced
from guestrepair.guest.devices import BlockDevice
from guestrepair.model import GuestPath
from guestrepair.system.mounts import types
from guestrepair.system.mounts.disks import GuestDisks
from guestrepair.system.mounts.sources import classify, find, same_filesystem, stable_tag

MARKER = b"#guestrepair: "
"""Put before a line that is taken out of use; taking it away brings the line back."""

_OPTION = re.compile(r"[A-Za-z0-9_.+=:/@%~-]+(,[A-Za-z0-9_.+=:/@%~\"-]+)*,?\Z")
_BLKID_NAME = re.compile(r"/dev/[^:\s]+:\Z")
_INTEGER = re.compile(r"[0-9]+\Z")
_PREFERRED = ("UUID=", "PARTUUID=", "LABEL=", "PARTLABEL=")


class How(enum.Enum):
    """What becomes of a line that does not parse."""

    READ = "its words make sense in one way"
    REBUILT = "it is the line of the root filesystem, and written from what is mounted there"
    OUT_OF_USE = "no reading makes sense"
    LEFT = "it is the line of the root filesystem, and only a person can tell"


@dataclass(frozen=True, slots=True)
class Reading:
    """A line that does not parse, as it must be meant: ``raw``, without ending; None where it is left."""

    bad: Malformed
    how: How
    raw: bytes | None


def readings(disks: GuestDisks, table: Fstab) -> dict[int, Reading]:
    """What becomes of each line that does not parse, by its number."""
    taken: set[str] = set()
    return {bad.number: _reading(disks, table, bad, taken) for bad in table.malformed}


def _reading(disks: GuestDisks, table: Fstab, bad: Malformed, taken: set[str]) -> Reading:
    """``taken`` are the mount points of malformed lines read before this one; its own is added."""
    raw = read_line(disks, bad)
    entry = None if raw is None else _entry(raw)
    if entry is not None and entry.target not in taken and not _is_mounted_by_another(table, entry):
        taken |= {entry.target} if entry.target.startswith("/") else set()
        return Reading(bad, How.READ, raw)
    if "/" not in taken and _may_be_root(disks, table, bad):
        taken.add("/")
        line = None if disks.root is None else root_line(disks, disks.root)
        if line is None:
            return Reading(bad, How.LEFT, None)
        return Reading(bad, How.REBUILT, line + b"\r" * bad.line.raw.endswith(b"\r"))
    return Reading(bad, How.OUT_OF_USE, MARKER + bad.line.raw)


def read_line(disks: GuestDisks, bad: Malformed) -> bytes | None:
    """The one reading that makes sense, the one with the least change first; else None."""
    for candidate in _readings(disks, bad):
        entry = _entry(candidate)
        if entry is not None and _makes_sense(entry):
            return candidate
    return None


def _entry(raw: bytes) -> Entry | None:
    entries = parse(raw).entries
    return entries[0] if len(entries) == 1 else None


def _is_mounted_by_another(table: Fstab, entry: Entry) -> bool:
    return entry.target.startswith("/") and bool(table.for_target(entry.target))


# --- readings, least change first --------------------------------------------------


def _readings(disks: GuestDisks, bad: Malformed) -> Iterator[bytes]:
    tokens = bad.tokens
    yield from _joined_words(disks, bad)
    yield from _joined_names(disks, bad)
    yield from _in_place(disks, bad)
    yield from _left_out(disks, bad)
    yield from _without_pasted(bad)
    yield from _joined_options(bad)
    yield from _without_comment(bad)
    yield from _numbers(bad)
    if len(tokens) == 2:
        yield from _completed(disks, bad)


def _spliced(line: Line, changes: Sequence[Splice]) -> bytes:
    return spliced(line.raw, changes, start=line.offset)


def _cut(first: int, end: int) -> Splice:
    return Splice(first, end - first, b"")


def _put(offset: int, length: int, text: str) -> Splice:
    return Splice(offset, length, text.encode("utf-8", "surrogateescape"))


def _without_pasted(bad: Malformed) -> Iterator[bytes]:
    """blkid(8)'s ``/dev/sda1: UUID="…" TYPE="ext4"`` left in: keep one source, drop the rest."""
    tokens = bad.tokens
    start = 1 if _BLKID_NAME.match(tokens[0].text) else 0
    words = tokens[start:]
    pasted = [t for t in words if is_pasted(t)]
    tags = [t for t in pasted if split_tag(t.value) is not None and t.raw.count(b'"') in {0, 2}]
    # Values with blanks in quotes are several words: everything up to the mount point belongs to it.
    rest_at = next((i for i, t in enumerate(words) if t.raw.startswith(b"/")), None)
    if rest_at is None:
        rest_at = next((i for i, t in enumerate(words) if t.raw in {b"none", b"swap"}), None)
    if not pasted or rest_at is None or rest_at == 0:
        return
    by_preference = sorted(
        (t for t in tags if _key(t) in _PREFERRED), key=lambda t: _PREFERRED.index(_key(t))
    )
    if not by_preference:
        return
    keep = by_preference[0]
    changes = []
    if keep.offset > tokens[0].offset:
        changes.append(_cut(tokens[0].offset, keep.offset))
    if words[rest_at].offset > keep.end:
        changes.append(_cut(keep.end, words[rest_at - 1].end))
    changes = [change for change in changes if change.length]
    if changes:
        yield _spliced(bad.line, changes)


def _key(token: Token) -> str:
    return token.text.partition("=")[0].upper() + "="


def _joined_options(bad: Malformed) -> Iterator[bytes]:
    """``defaults, noatime 0 2`` or ``defaults ,noatime``: take the blanks out of the options."""
    tokens = bad.tokens
    if len(tokens) < 5:
        return
    end = len(tokens)
    while end > 4 and len(tokens) - end < 2 and _INTEGER.match(tokens[end - 1].text):
        end -= 1
    words = tokens[3:end]
    if len(words) < 2 or not all(_OPTION.match(t.text.lstrip(",") or ",") for t in words):
        return
    changes = []
    for left, right in pairwise(words):
        joined = left.raw.endswith(b",") or right.raw.startswith(b",")
        if not joined and not _is_option(right.text):
            return
        changes.append(Splice(left.end, right.offset - left.end, b"" if joined else b","))
    yield _spliced(bad.line, changes)


_COMMON_OPTIONS = frozenset(
    [
        *("defaults", "noatime", "relatime", "nodiratime", "ro", "rw", "nofail", "noauto", "auto", "nodev"),
        *("nosuid", "noexec", "exec", "user", "users", "discard", "sync", "async", "acl", "usrquota"),
        *("grpquota", "_netdev", "bind", "rbind", "loop", "sw", "prjquota", "lazytime", "strictatime"),
    ]
)


def _is_option(word: str) -> bool:
    """True for a word that is surely a mount option, and no word of a comment."""
    return all(o in _COMMON_OPTIONS or "=" in o for o in word.split(",") if o) and bool(word.strip(","))


def _without_comment(bad: Malformed) -> Iterator[bytes]:
    """A comment after the fields: ``#`` starts one only at the start of a line."""
    at = next((i for i, t in enumerate(bad.tokens) if i >= 3 and t.raw.startswith(b"#")), None)
    if at is not None:
        yield _spliced(bad.line, [_cut(bad.tokens[at - 1].end, bad.tokens[-1].end)])


def _numbers(bad: Malformed) -> Iterator[bytes]:
    """A frequency or pass number that is no number: its digits, or 0 (and then nothing after them)."""
    tokens = bad.tokens
    if len(tokens) < 5:
        return
    changes = []
    for token in tokens[4:6]:
        if _INTEGER.match(token.text):
            continue
        found = re.match(r"[0-9]", token.text)
        changes.append(_put(token.offset, len(token.raw), found[0] if found else "0"))
    if len(tokens) > 6:
        changes.append(_cut(tokens[5].end, tokens[-1].end))
    yield _spliced(bad.line, changes)


def _joined_names(disks: GuestDisks, bad: Malformed) -> Iterator[bytes]:
    """A blank in a label or a mount point, which must be written ``\\040``: join it where the name exists."""
    tokens = bad.tokens
    for start in (0, 1):
        for end in range(start + 2, min(len(tokens), start + 6) + 1):
            words = [unescape(t.text) for t in tokens[start:end]]
            name = " ".join(words)
            if not _is_known(disks, name, is_source=start == 0):
                continue
            text = escape(name.replace('"', ""))
            changes = [_put(tokens[start].offset, tokens[end - 1].end - tokens[start].offset, text)]
            yield _spliced(bad.line, changes)


def _joined_words(disks: GuestDisks, bad: Malformed) -> Iterator[bytes]:
    """A blank inside a word that has none, as in ``UUID= 5f1d…`` or ``ext 4``: take it out."""
    tokens = bad.tokens
    for at in (0, 2):
        for end in range(at + 2, min(len(tokens), at + 3) + 1):
            word = "".join(unescape(t.text) for t in tokens[at:end])
            if not (_is_known(disks, word, is_source=True) if at == 0 else word in types.ON_DISK):
                continue
            pairs = pairwise(tokens[at:end])
            yield _spliced(bad.line, [_cut(left.end, right.offset) for left, right in pairs])


def _in_place(disks: GuestDisks, bad: Malformed) -> Iterator[bytes]:
    """Source and mount point exchanged, or the mount point's first slash forgotten."""
    first, second = bad.tokens[0], (bad.tokens[1] if len(bad.tokens) > 2 else None)
    if second is None:
        return
    if _is_known(disks, first.value, is_source=False) and _is_known(disks, second.value, is_source=True):
        swapped = [
            _put(first.offset, len(first.raw), second.text),
            _put(second.offset, len(second.raw), first.text),
        ]
        yield _spliced(bad.line, swapped)
    elif not second.raw.startswith(b"/") and _is_known(disks, f"/{second.value}", is_source=False):
        yield _spliced(bad.line, [_put(second.offset, 0, "/")])


def _left_out(disks: GuestDisks, bad: Malformed) -> Iterator[bytes]:
    """The type or the options left out: what is on the disk, and ``defaults``."""
    tokens = bad.tokens
    if len(tokens) < 3:
        return
    if len(tokens) > 3 and tokens[3].raw.isdigit():
        yield _spliced(bad.line, [_put(tokens[3].offset, 0, "defaults ")])
    found = find(classify(tokens[0].value, ""), disks.block, {})
    if len(found) == 1 and (found[0].is_filesystem or found[0].content == "swap"):
        yield _spliced(bad.line, [_put(tokens[2].offset, 0, f"{found[0].content} ")])


def _is_known(disks: GuestDisks, name: str, *, is_source: bool) -> bool:
    if is_source:
        tag = split_tag(name)
        return tag is not None and bool(find(classify(name, ""), disks.block, {}))
    return name.startswith("/") and "\0" not in name and disks.is_directory(GuestPath(name))


def _completed(disks: GuestDisks, bad: Malformed) -> Iterator[bytes]:
    """Source and mount point alone: the type is what is on the disk."""
    source, target = bad.tokens
    found = find(classify(source.value, ""), disks.block, {})
    if len(found) == 1 and found[0].is_filesystem and target.raw.startswith(b"/"):
        content = found[0].content
        passno = 0 if not content.startswith("ext") else 1 if target.raw == b"/" else 2
        yield _spliced(bad.line, [_put(target.end, 0, f" {content} defaults 0 {passno}")])


def _makes_sense(entry: Entry) -> bool:
    """True when the words stand where such words belong."""
    known = types.VIRTUAL | types.NETWORK | types.ON_DISK | {"ntfs-3g", "fuseblk", "bcachefs", "zfs"}
    if not all(t in known or t.startswith("fuse") for t in entry.type.split(",")):
        return False
    if any(_is_suspicious(option) for option in entry.options):
        return False
    if types.needs_device(entry.type) and not entry.has("bind", "rbind", "loop"):
        source = entry.source
        return split_tag(source) is not None or source.startswith("/")
    return True


def _is_suspicious(option: str) -> bool:
    """A word that stands among the options and is none: a path, a source, a number."""
    if option.startswith("/") or split_tag(option) is not None:
        return True
    return not _OPTION.match(option.replace('"', "").replace("\\", "")) or option.isdigit()


# --- the root filesystem's line -----------------------------------------------------


def _may_be_root(disks: GuestDisks, table: Fstab, bad: Malformed) -> bool:
    """True when no other line mounts ``/`` (or /usr) and this one names it or its filesystem."""
    names_it = any(t.raw in {b"/", b"/usr"} for t in bad.tokens) or _names_root(disks, bad)
    return names_it and not table.for_target("/")


def _names_root(disks: GuestDisks, bad: Malformed) -> bool:
    for token in bad.tokens:
        if split_tag(token.value) is None and not token.raw.startswith(b"/dev/"):
            continue
        source = classify(token.value.rstrip(":"), "")
        if any(same_filesystem(d, disks.root) for d in find(source, disks.block, {})):
            return True
    return False


def root_line(disks: GuestDisks, root: BlockDevice) -> bytes | None:
    """A line for ``/`` from what is mounted there; None when nothing stable names the filesystem."""
    found = stable_tag(disks.block, root)
    if found is None:
        return None
    options = ["defaults"]
    if root.content == "btrfs" and disks.root_subvolume:
        options = [f"subvol={disks.root_subvolume}"]
    passno = 1 if root.content.startswith("ext") else 0
    text = f"{found[0]}={escape(found[1])} / {root.content} {escape(','.join(options))} 0 {passno}"
    return text.encode("utf-8", "surrogateescape")
