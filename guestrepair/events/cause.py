"""Who may have done it: from when a path changed, and what is on record around that, to suspects.

Each rule is named and says how much it is worth. Nobody is named without the record that names them, and
where the records say nothing, there is no suspect.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from guestrepair.events.model import NANOSECOND, Event, Kind
from guestrepair.events.sessions import Session
from guestrepair.model.causes import Changed, Confidence, Suspect

BEFORE_NS = 3600 * NANOSECOND
"""An editor may be open for so long before it writes."""
AFTER_NS = 5 * NANOSECOND
"""Logs count whole seconds, and are written a little later."""
RECURSIVE_NS = 900 * NANOSECOND
"""How long a command that was given a directory above may take to come to a path."""
PACKAGE_NS = 120 * NANOSECOND
"""Around a package transaction."""
MAX_SUSPECTS = 5
JOURNALS = ("/var/log/journal/", "/run/log/journal/")
_WORD_END = r"(?=$|[\s'\";|&<>)])"
_CHANGES = re.compile(
    r"\b(?:chmod|chown|chgrp|chattr|setfacl|setcap|chcon|restorecon|rm|mv|cp|install|ln|rsync|tar|unzip|sed|tee|"
    r"dd|truncate|vi|vim|nvim|nano|emacs|ed|ee|joe|mcedit|visudo|vipw|sudoedit|crontab|touch|shred|find|xargs|"
    r"usermod|useradd|userdel|passwd|chage|systemctl|echo|printf|cat|python3?|perl|ansible\S*|puppet|chef\S*|"
    r"salt\S*|git|scp|sftp|curl|wget|patch|mkfs\S*|mkswap|tune2fs|fsck\S*|e2fsck|grub\S*|update-\S+|dracut|"
    r"dpkg\S*|apt\S*|rpm|dnf|yum|zypper|nmcli|netplan|nft|iptables\S*|ufw|firewall-cmd|setenforce|semanage|"
    r"authselect|pam-auth-update|mkinitcpio|kernel-install|mount|umount|swapon|bash|sh|source)\b"
)
_RECURSIVE = re.compile(r"\s-\w{0,20}[rR]\w{0,20}\b|--recursive|\bfind\b|\*|\brsync\b|\btar\b")
_BETWEEN = re.compile(r"[\s'\";|&<>()=]+")
MAX_COMMAND = 16 * 1024
"""Characters of a command that are looked at for relative paths."""
_READERS = frozenset({
    "cat", "cmp", "diff", "egrep", "fgrep", "file", "findmnt", "getfacl", "grep", "head", "less", "ls",
    "lsattr", "md5sum", "more", "namei", "readlink", "realpath", "sha256sum", "stat", "tail", "test",
    "wc", "zgrep",
})  # fmt: skip
_MANAGERS = frozenset({
    "apk", "apt", "apt-get", "aptitude", "dnf", "dnf5", "dpkg", "microdnf", "pacman", "rpm", "yum", "zypper",
})  # fmt: skip
_BY_ITSELF = re.compile(r"autocommit|saving uncommitted changes|committing changes in /etc (?:made by|after)")
_MORE = re.compile(r"[>|;&`]|\$\(")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One change to be explained: the path, when it changed, which package owns it, and what is on record."""

    path: str
    when_ns: int
    package: str = ""
    events: Sequence[Event] = ()
    sessions: Sequence[Session] = ()

    def near(self, event: Event, before: int = BEFORE_NS, after: int = AFTER_NS) -> bool:
        """Whether an event lies so near to the change, in nanoseconds."""
        return self.when_ns - before <= event.time_ns <= self.when_ns + after


Find = Callable[[Scene], Iterator[Suspect]]


def suspects(scene: Scene) -> tuple[Suspect, ...]:
    """Who may have done it, the nearest first; where a strong rule speaks, the weaker ones are silent."""
    found: list[Suspect] = []
    for rule in _RULES:
        found += rule(scene)
        if any(s.confidence is Confidence.STRONG for s in found):
            break
    found.sort(key=lambda s: (s.confidence.rank, abs(scene.when_ns - s.when_ns)))
    return tuple(_each_once(found))[:MAX_SUSPECTS]


def _each_once(found: Iterable[Suspect]) -> list[Suspect]:
    """What two logs tell of one thing, once: by the record that is worth most."""
    kept: list[Suspect] = []
    for suspect in found:
        at = next((n for n, other in enumerate(kept) if _same(suspect, other)), None)
        if at is None:
            kept.append(suspect)
        elif _worth(suspect) > _worth(kept[at]):
            kept[at] = suspect
        if len(kept) > 4 * MAX_SUSPECTS:
            break
    return kept


def _worth(suspect: Suspect) -> tuple[bool, bool]:
    """An exact time first; then the journal, in which the sender is journald's word and not the sender's."""
    return suspect.certainty == "exact", suspect.source.startswith(JOURNALS)


def _same(one: Suspect, other: Suspect) -> bool:
    if (one.source, one.what) == (other.source, other.what):
        return True
    alike = (one.rule, one.who, one.what) == (other.rule, other.who, other.what)
    return alike and abs(one.when_ns - other.when_ns) <= AFTER_NS


# --- the rules ------------------------------------------------------------------------


def _audit_names_path(scene: Scene) -> Iterator[Suspect]:
    for event in scene.events:
        named = event.path == scene.path and event.get("record") == "audit"
        if named and scene.near(event, before=2 * NANOSECOND, after=2 * NANOSECOND):
            yield _suspect("audit-names-path", Confidence.STRONG, event)


def _command_names_path(scene: Scene) -> Iterator[Suspect]:
    """A command on record that names the path, or a directory above it, shortly before."""
    for event in scene.events:
        other = event.kind is not Kind.COMMAND or event.get("record") in {"history", "schedule"}
        if other or not scene.near(event) or _only_reads(event):
            continue
        if _names(event, scene.path):
            yield _suspect("command-names-path", Confidence.STRONG, event)
        elif scene.near(event, before=RECURSIVE_NS) and _names_above(event, scene.path):
            yield _suspect("command-names-directory", Confidence.STRONG, event)


def _program_names_path(scene: Scene) -> Iterator[Suspect]:
    """A program's own log says that it wrote the path (cloud-init, a configuration manager)."""
    for event in scene.events:
        own = event.kind is Kind.CONFIGURATION and event.path == scene.path
        if (
            own
            and event.get("record") != "etckeeper"
            and scene.near(event, before=10 * NANOSECOND, after=10 * NANOSECOND)
        ):
            yield _suspect("program-wrote-path", Confidence.STRONG, event)


def _package_transaction(scene: Scene) -> Iterator[Suspect]:
    """A transaction of the package that owns the path, and where that does not say it, who ran it."""
    if not scene.package:
        return
    spans = _spans(scene.events)
    own = [
        event
        for event in scene.events
        if event.kind is Kind.PACKAGE
        and event.get("package").partition(":")[0] == scene.package.partition(":")[0]
        and _at_work(scene, event, spans)
    ]
    # Files come when a package is unpacked, not when it is configured afterwards.
    own = [event for event in own if event.get("action") != "configure"] or own
    yield from (_suspect("package-of-the-path", Confidence.STRONG, event) for event in own)
    if own and not any(event.actor for event in own):
        yield from _package_commands(scene, own)


def _package_commands(scene: Scene, changes: Sequence[Event]) -> Iterator[Suspect]:
    """Who ran a package manager shortly before these changes, by a record of commands."""
    for event in scene.events:
        program = event.message.partition(" ")[0].rpartition("/")[2]
        other = event.kind is not Kind.COMMAND or event.get("record") in {"history", "schedule"}
        if other or program not in _MANAGERS:
            continue
        if any(-AFTER_NS <= change.time_ns - event.time_ns <= PACKAGE_NS for change in changes):
            yield _suspect("package-command", Confidence.LIKELY, event)


def _history_names_path(scene: Scene) -> Iterator[Suspect]:
    """A shell's history: whoever owns it can write what he likes into it, and it is saved at the end."""
    for event in scene.events:
        if event.get("record") != "history" or _only_reads(event):
            continue
        if _names(event, scene.path) or _names_above(event, scene.path):
            timed = event.certainty != "bounded"
            if timed and scene.near(event):
                yield _suspect("history-names-path", Confidence.LIKELY, event)
            elif not timed and event.time_ns >= scene.when_ns - AFTER_NS:
                yield _suspect("history-names-path", Confidence.POSSIBLE, event)


def _commit_of_path(scene: Scene) -> Iterator[Suspect]:
    """The first commit that recorded the change: whoever made it, soon after, has most likely made that too.

    Commits that etckeeper makes by itself, daily or around a package manager, say that it was there by then.
    """
    later = [
        event
        for event in scene.events
        if event.path == scene.path
        and event.get("record") == "etckeeper"
        and scene.near(event, before=AFTER_NS, after=BEFORE_NS)
    ]
    if later:
        first = min(later, key=lambda event: event.time_ns)
        by_itself = _BY_ITSELF.search(first.message) is not None
        yield _suspect("commit-of-path", Confidence.POSSIBLE if by_itself else Confidence.LIKELY, first)


def _schedule_names_path(scene: Scene) -> Iterator[Suspect]:
    """A crontab or a timer that was there by then, whose command changes things and names the path."""
    for event in scene.events:
        if event.get("record") != "schedule" or event.time_ns > scene.when_ns + AFTER_NS:
            continue
        if not _CHANGES.search(event.message) or _only_reads(event):
            continue
        if _names(event, scene.path) or _names_above(event, scene.path):
            yield _suspect("schedule-names-path", Confidence.POSSIBLE, event)


def _only_session(scene: Scene) -> Iterator[Suspect]:
    """Who was logged in: likely when it was one person alone."""
    first, last = scene.when_ns - AFTER_NS, scene.when_ns + AFTER_NS
    there = [s for s in scene.sessions if s.begin_ns <= last and (s.end_ns is None or s.end_ns >= first)]
    alone = len({s.who for s in there}) == 1
    for session in there:
        name, confidence = (
            ("only-session", Confidence.LIKELY) if alone else ("open-session", Confidence.POSSIBLE)
        )
        yield _suspect(name, confidence, session.event)


def _other_transaction(scene: Scene) -> Iterator[Suspect]:
    """A transaction of any package around the time: each once, by its start where that is on record."""
    spans = _spans(scene.events)
    told: dict[str, Event] = {}
    for event in scene.events:
        if event.kind is Kind.PACKAGE and _at_work(scene, event, spans):
            key = _transaction(event)
            if key not in told or event.get("action") == "start":
                told[key] = event
    for event in told.values():
        yield _suspect("package-transaction", Confidence.POSSIBLE, event)


_Spans = Mapping[str, tuple[int, int]]


def _transaction(event: Event) -> str:
    """Where the transaction that an event belongs to is on record."""
    return event.get("transaction") or event.source


def _spans(events: Iterable[Event]) -> _Spans:
    """From when to when each transaction was at work, where its start is on record."""
    found: dict[str, tuple[int, int]] = {}
    for event in events:
        if event.kind is Kind.PACKAGE and event.get("action") in {"start", "end"}:
            key, time = _transaction(event), event.time_ns
            begin, end = found.get(key, (time, time))
            found[key] = min(begin, time), max(end, time)
    return found


def _at_work(scene: Scene, event: Event, spans: _Spans) -> bool:
    """Whether a package's change, or its whole transaction, lies around the change of the path.

    Of what a transaction did to one package, some logs have the transaction's start, some its end.
    """
    begin, end = spans.get(_transaction(event), (event.time_ns, event.time_ns))
    begin, end = min(begin, event.time_ns), max(end, event.time_ns)
    return begin - PACKAGE_NS <= scene.when_ns <= end + PACKAGE_NS


_RULES: Sequence[Find] = (
    _audit_names_path,
    _command_names_path,
    _program_names_path,
    _package_transaction,
    _history_names_path,
    _commit_of_path,
    _schedule_names_path,
    _only_session,
    _other_transaction,
)


def _suspect(rule: str, confidence: Confidence, event: Event) -> Suspect:
    table, times = event.get("crontab"), event.get("times")
    told = f" (cron, by {table})" if table else f" (cron, at {times})" if times else ""
    return Suspect(
        rule=rule,
        confidence=confidence,
        who=event.actor,
        what=event.message + told,
        when_ns=event.time_ns,
        certainty=event.certainty.value,
        source=event.source,
    )


def _only_reads(event: Event) -> bool:
    """Whether a command is one program that only looks, with nothing written elsewhere."""
    program = event.message.lstrip().partition(" ")[0].rpartition("/")[2]
    return program in _READERS and _MORE.search(event.message) is None


def _names(event: Event, path: str) -> bool:
    """Whether a command names a path: in full, or from the directory that it was run in."""
    return event.path == path or _given(event, path)


def _given(event: Event, path: str) -> bool:
    """Whether a command's words have a path among them; relative ones are of the directory it was run in."""
    if _word(path).search(event.message):
        return True
    directory = event.get("pwd")
    return directory.startswith("/") and path in _words(directory, event.message[:MAX_COMMAND])


@lru_cache(maxsize=1024)
def _words(directory: str, command: str) -> frozenset[str]:
    """The words of a command as paths; ``DIRECTORY/*`` counts as the directory."""
    words = {word.removesuffix("*") for word in _BETWEEN.split(command) if word[:1] not in {"", "-"}}
    paths = (posixpath.normpath(posixpath.join(directory, word)) for word in words)
    return frozenset(f"/{path.lstrip('/')}" for path in paths)


def _names_above(event: Event, path: str) -> bool:
    """Whether a command that changes things was given a directory above a path, and all below it."""
    if not (_CHANGES.search(event.message) and _RECURSIVE.search(event.message)):
        return False
    parents = [path[:end] for end in range(1, len(path)) if path[end] == "/"]
    return any(_given(event, parent) for parent in parents)


def _word(path: str) -> re.Pattern[str]:
    return re.compile(r"(?<![\w./-])" + re.escape(path) + r"/?\*?" + _WORD_END)


# --- boots ----------------------------------------------------------------------------


def bracket(boots: Sequence[tuple[int, bool]], when_ns: int) -> tuple[int | None, int | None]:
    """The last good boot before a change and the first one after it, by when each began.

    ``boots`` are (begin, whether somebody could log in or the system came up), in order.
    """
    good = [begin for begin, well in boots if begin <= when_ns and well]
    after = [begin for begin, _ in boots if begin > when_ns]
    return (good[-1] if good else None), (after[0] if after else None)


def newest(changes: Iterable[Changed], own: Mapping[str, int]) -> Changed | None:
    """The change that came last; ``own`` are the times of our own repairs by path, which are passed over."""
    known = [c for c in changes if c.changed_ns is not None and not _is_own(c, own)]
    return max(known, key=lambda c: c.changed_ns or 0, default=None)


def _is_own(change: Changed, own: Mapping[str, int]) -> bool:
    repaired = own.get(change.path)
    return repaired is not None and abs((change.changed_ns or 0) - repaired) <= PACKAGE_NS
