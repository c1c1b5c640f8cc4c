"""Lines that do not parse: find the one reading that makes sense of their words, or take them out of use."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from guestrepair.analyzers.fstab import edits, types
from guestrepair.analyzers.fstab.facts import Facts
from guestrepair.analyzers.fstab.judgement import same_filesystem
from guestrepair.analyzers.fstab.names import stable_tag
from guestrepair.analyzers.fstab.sources import classify, find
from guestrepair.formats.fstab import (
    Entry,
    Line,
    Malformed,
    Token,
    escape,
    is_pasted,
    parse,
    split_tag,
    unescape,
)
from guestrepair.guest.devices import BlockDevice
from guestrepair.model import Edit, GuestPath

_OPTION = re.compile(r"[A-Za-z0-9_.+=:/@%~-]+(,[A-Za-z0-9_.+=:/@%~\"-]+)*,?\Z")
_BLKID_NAME = re.compile(r"/dev/[^:\s]+:\Z")
_INTEGER = re.compile(r"[0-9]+\Z")
_PREFERRED = ("UUID=", "PARTUUID=", "LABEL=", "PARTLABEL=")


@dataclass(frozen=True, slots=True)
class Reading:
    """A line's content as it must have been meant: the edits that make it so, and the text that results."""

    changes: tuple[Edit, ...]
    text: bytes

    def entry(self) -> Entry | None:
        """The entry that it parses to."""
        entries = parse(self.text).entries
        return entries[0] if len(entries) == 1 else None


@dataclass(frozen=True, slots=True)
class Mended:
    """A malformed line and what becomes of it: ``raw`` is the line afterwards, without its ending."""

    bad: Malformed
    summary: str
    changes: tuple[Edit, ...]
    raw: bytes


def mend(facts: Facts, bad: Malformed, taken: set[str]) -> Mended | None:
    """What to do with a line that does not parse; None where only a person can tell (the line of ``/``).

    ``taken`` are the mount points of lines mended before this one; its own is added.
    """
    reading = reading_of(facts, bad)
    if reading is not None:
        entry = reading.entry()
        if entry is not None and entry.target not in taken and not _is_mounted_by_another(facts, entry):
            taken |= {entry.target} if entry.target.startswith("/") else set()
            text = reading.text.decode("utf-8", "replace").strip()
            return Mended(bad, f"make it: {text}", reading.changes, reading.text)
    if "/" not in taken and _may_be_root(facts, bad):
        taken.add("/")
        return _rebuilt_root(facts, bad)
    changes = (edits.comment_out(bad.line),)
    return Mended(bad, "comment the line out", changes, edits.MARKER + bad.line.raw)


def reading_of(facts: Facts, bad: Malformed) -> Reading | None:
    """The one reading that makes sense, else None."""
    readings: dict[bytes, Reading] = {}
    for candidate in _readings(facts, bad):
        entry = candidate.entry()
        if entry is not None and _makes_sense(facts, entry):
            readings.setdefault(b" ".join(t.raw for t in entry.line.tokens), candidate)
        if readings:
            break  # the readings come in the order of how little they change
    return next(iter(readings.values()), None)


def _is_mounted_by_another(facts: Facts, entry: Entry) -> bool:
    table = facts.table
    return table is not None and entry.target.startswith("/") and bool(table.for_target(entry.target))


# --- readings, least change first --------------------------------------------------


def _readings(facts: Facts, bad: Malformed) -> Iterator[Reading]:
    tokens = bad.tokens
    yield from _joined_words(facts, bad)
    yield from _joined_names(facts, bad)
    yield from _in_place(facts, bad)
    yield from _left_out(facts, bad)
    yield from _without_pasted(bad)
    yield from _joined_options(bad)
    yield from _without_comment(bad)
    yield from _numbers(bad)
    if len(tokens) == 2:
        yield from _completed(facts, bad)


def _spliced(line: Line, changes: Sequence[Edit]) -> Reading:
    return Reading(tuple(changes), edits.applied(line.raw, changes, start=line.offset))


def _cut(first: int, end: int) -> Edit:
    return Edit(offset=first, length=end - first, text=b"")


def _without_pasted(bad: Malformed) -> Iterator[Reading]:
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
    changes = [c for c in changes if c.length]
    if changes:
        yield _spliced(bad.line, changes)


def _key(token: Token) -> str:
    return token.text.partition("=")[0].upper() + "="


def _joined_options(bad: Malformed) -> Iterator[Reading]:
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
        changes.append(Edit(offset=left.end, length=right.offset - left.end, text=b"" if joined else b","))
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


def _without_comment(bad: Malformed) -> Iterator[Reading]:
    """A comment after the fields: ``#`` starts one only at the start of a line."""
    at = next((i for i, t in enumerate(bad.tokens) if i >= 3 and t.raw.startswith(b"#")), None)
    if at is not None:
        yield _spliced(bad.line, [_cut(bad.tokens[at - 1].end, bad.tokens[-1].end)])


def _numbers(bad: Malformed) -> Iterator[Reading]:
    """A frequency or pass number that is no number: its digits, or 0 (and then nothing after them)."""
    tokens = bad.tokens
    if len(tokens) < 5:
        return
    changes = []
    for token in tokens[4:6]:
        if _INTEGER.match(token.text):
            continue
        found = re.match(r"[0-9]", token.text)
        changes.append(edits.replace(token.offset, len(token.raw), found[0] if found else "0"))
    if len(tokens) > 6:
        changes.append(_cut(tokens[5].end, tokens[-1].end))
    yield _spliced(bad.line, changes)


def _joined_names(facts: Facts, bad: Malformed) -> Iterator[Reading]:
    """A blank in a label or a mount point, which must be written ``\\040``: join it where the name exists."""
    tokens = bad.tokens
    for start in (0, 1):
        for end in range(start + 2, min(len(tokens), start + 6) + 1):
            words = [unescape(t.text) for t in tokens[start:end]]
            name = " ".join(words)
            if not _is_known(facts, name, is_source=start == 0):
                continue
            text = escape(name.replace('"', ""))
            changes = [edits.replace(tokens[start].offset, tokens[end - 1].end - tokens[start].offset, text)]
            yield _spliced(bad.line, changes)


def _joined_words(facts: Facts, bad: Malformed) -> Iterator[Reading]:
    """A blank inside a word that has none, as in ``UUID= 5f1d…`` or ``ext 4``: take it out."""
    tokens = bad.tokens
    for at in (0, 2):
        for end in range(at + 2, min(len(tokens), at + 3) + 1):
            word = "".join(unescape(t.text) for t in tokens[at:end])
            if not (_is_known(facts, word, is_source=True) if at == 0 else word in types.ON_DISK):
                continue
            pairs = pairwise(tokens[at:end])
            yield _spliced(bad.line, [_cut(left.end, right.offset) for left, right in pairs])


def _in_place(facts: Facts, bad: Malformed) -> Iterator[Reading]:
    """Source and mount point exchanged, or the mount point's first slash forgotten."""
    first, second = bad.tokens[0], (bad.tokens[1] if len(bad.tokens) > 2 else None)
    if second is None:
        return
    if _is_known(facts, first.value, is_source=False) and _is_known(facts, second.value, is_source=True):
        swapped = [
            edits.replace(first.offset, len(first.raw), second.text),
            edits.replace(second.offset, len(second.raw), first.text),
        ]
        yield _spliced(bad.line, swapped)
    elif not second.raw.startswith(b"/") and _is_known(facts, f"/{second.value}", is_source=False):
        yield _spliced(bad.line, [edits.replace(second.offset, 0, "/")])


def _left_out(facts: Facts, bad: Malformed) -> Iterator[Reading]:
    """The type or the options left out: what is on the disk, and ``defaults``."""
    tokens = bad.tokens
    if len(tokens) < 3:
        return
    if len(tokens) > 3 and tokens[3].raw.isdigit():
        yield _spliced(bad.line, [edits.replace(tokens[3].offset, 0, "defaults ")])
    found = find(classify(tokens[0].value, ""), facts.block, {})
    if len(found) == 1 and (found[0].is_filesystem or found[0].content == "swap"):
        yield _spliced(bad.line, [edits.replace(tokens[2].offset, 0, f"{found[0].content} ")])


def _is_known(facts: Facts, name: str, *, is_source: bool) -> bool:
    if is_source:
        tag = split_tag(name)
        return tag is not None and bool(find(classify(name, ""), facts.block, {}))
    return name.startswith("/") and "\0" not in name and facts.guest.is_directory(GuestPath(name))


def _completed(facts: Facts, bad: Malformed) -> Iterator[Reading]:
    """Source and mount point alone: the type is what is on the disk."""
    source, target = bad.tokens
    found = find(classify(source.value, ""), facts.block, {})
    if len(found) == 1 and found[0].is_filesystem and target.raw.startswith(b"/"):
        content = found[0].content
        passno = 0 if not content.startswith("ext") else 1 if target.raw == b"/" else 2
        yield _spliced(bad.line, [edits.replace(target.end, 0, f" {content} defaults 0 {passno}")])


def _makes_sense(facts: Facts, entry: Entry) -> bool:
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
    return not _OPTION.match(option.replace('"', "").replace("\\", "")) or option.isdigit()


# --- the root filesystem's line -----------------------------------------------------


def _may_be_root(facts: Facts, bad: Malformed) -> bool:
    """True when no other line mounts ``/`` (or /usr) and this one names it or its filesystem."""
    table = facts.table
    names_it = any(t.raw in {b"/", b"/usr"} for t in bad.tokens) or _names_root(facts, bad)
    return names_it and table is not None and not table.for_target("/")


def _names_root(facts: Facts, bad: Malformed) -> bool:
    for token in bad.tokens:
        if split_tag(token.value) is None and not token.raw.startswith(b"/dev/"):
            continue
        source = classify(token.value.rstrip(":"), "")
        if any(same_filesystem(d, facts.root) for d in find(source, facts.block, {})):
            return True
    return False


def _rebuilt_root(facts: Facts, bad: Malformed) -> Mended | None:
    line = None if facts.root is None else root_line(facts, facts.root)
    if line is None:
        return None
    raw = bad.line.raw.removesuffix(b"\r")
    change = Edit(offset=bad.line.offset, length=len(raw), text=line)
    text = line.decode("utf-8", "replace")
    return Mended(bad, f"make it: {text}", (change,), line + bad.line.raw[len(raw) :])


def root_line(facts: Facts, root: BlockDevice) -> bytes | None:
    """A line for ``/`` from what is mounted there; None when nothing stable names the filesystem."""
    found = stable_tag(facts, root)
    if found is None:
        return None
    options = ["defaults"]
    if root.content == "btrfs" and facts.root_subvolume:
        options = [f"subvol={facts.root_subvolume}"]
    passno = 1 if root.content.startswith("ext") else 0
    text = f"{found[0]}={escape(found[1])} / {root.content} {escape(','.join(options))} 0 {passno}"
    return text.encode("utf-8", "surrogateescape")
