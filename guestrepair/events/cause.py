"""Who may have done it: from when a path changed, and what is on record around that, to suspects.

Each rule is named and says how much it is worth. Nobody is named without the record that names them, and
where the records say nothing, there is no suspect.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from guestrepair.events.model import NANOSECOND, Event, Kind
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Somebody logged in, from a time until another (None: no end is on record)."""

    who: str
    begin_ns: int
    end_ns: int | None
    event: Event


Find = Callable[[Scene], Iterator[Suspect]]


def suspects(scene: Scene) -> tuple[Suspect, ...]:
    """Who may have done it, the nearest first; where a strong rule speaks, the weaker ones are silent."""
    found: list[Suspect] = []
    for rule in _RULES:
        found += rule(scene)
        if any(s.confidence is Confidence.STRONG for s in found):
            break
    found.sort(key=lambda s: (s.confidence.rank, abs(scene.when_ns - s.when_ns)))
    return tuple({(s.source, s.what): s for s in reversed(found)}.values())[::-1][:MAX_SUSPECTS]


def sessions_of(events: Iterable[Event]) -> list[Session]:
    """Logins with their logouts, matched by the record's own name of the session, line or process."""
    open_now: dict[tuple[str, str], Event] = {}
    found: list[Session] = []
    for event in sorted((e for e in events if e.kind is Kind.LOGIN), key=lambda e: e.time_ns):
        action, key = event.get("action"), (event.get("session") or event.get("line") or event.get("pid"))
        place = (event.source.partition(":")[0], key)
        if action == "logout" and place in open_now:
            begin = open_now.pop(place)
            found.append(_session(begin, event.time_ns))
        elif action == "login" and event.actor:
            if place in open_now:  # its end is not on record
                found.append(_session(open_now[place], event.time_ns))
            open_now[place] = event
        elif action in {"boot", "shutdown"}:
            found += [_session(begin, event.time_ns) for begin in open_now.values()]
            open_now.clear()
    return found + [_session(begin, None) for begin in open_now.values()]


def _session(begin: Event, end_ns: int | None) -> Session:
    return Session(who=begin.actor or "", begin_ns=begin.time_ns, end_ns=end_ns, event=begin)


# --- the rules ------------------------------------------------------------------------


def _audit_names_path(scene: Scene) -> Iterator[Suspect]:
    for event in scene.events:
        named = event.path == scene.path and event.get("record") == "audit"
        if named and scene.near(event, before=2 * NANOSECOND, after=2 * NANOSECOND):
            yield _suspect("audit-names-path", Confidence.STRONG, event)


def _command_names_path(scene: Scene) -> Iterator[Suspect]:
    """A command on record that names the path, or a directory above it, shortly before."""
    for event in scene.events:
        if event.kind is not Kind.COMMAND or event.get("record") == "history":
            continue
        if _names(event, scene.path) and scene.near(event):
            yield _suspect("command-names-path", Confidence.STRONG, event)
        elif _names_above(event, scene.path) and scene.near(event, before=RECURSIVE_NS):
            yield _suspect("command-names-directory", Confidence.STRONG, event)


def _program_names_path(scene: Scene) -> Iterator[Suspect]:
    """A program's own log says that it wrote the path (cloud-init, a configuration manager)."""
    for event in scene.events:
        own = event.kind is Kind.CONFIGURATION and event.path == scene.path
        if own and scene.near(event, before=10 * NANOSECOND, after=10 * NANOSECOND):
            yield _suspect("program-wrote-path", Confidence.STRONG, event)


def _package_transaction(scene: Scene) -> Iterator[Suspect]:
    """A package transaction around the time: of the package that owns the path, or of any other."""
    for event in scene.events:
        if event.kind is not Kind.PACKAGE or not scene.near(event, before=PACKAGE_NS, after=PACKAGE_NS):
            continue
        if scene.package and event.get("package").partition(":")[0] == scene.package.partition(":")[0]:
            yield _suspect("package-of-the-path", Confidence.STRONG, event)


def _history_names_path(scene: Scene) -> Iterator[Suspect]:
    """A shell's history: whoever owns it can write what he likes into it, and it is saved at the end."""
    for event in scene.events:
        if event.get("record") == "history" and (
            _names(event, scene.path) or _names_above(event, scene.path)
        ):
            timed = event.certainty != "bounded"
            if timed and scene.near(event):
                yield _suspect("history-names-path", Confidence.LIKELY, event)
            elif not timed and event.time_ns >= scene.when_ns - AFTER_NS:
                yield _suspect("history-names-path", Confidence.POSSIBLE, event)


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
    for event in scene.events:
        if event.kind is Kind.PACKAGE and scene.near(event, before=PACKAGE_NS, after=PACKAGE_NS):
            yield _suspect("package-transaction", Confidence.POSSIBLE, event)


_RULES: Sequence[Find] = (
    _audit_names_path,
    _command_names_path,
    _program_names_path,
    _package_transaction,
    _history_names_path,
    _only_session,
    _other_transaction,
)


def _suspect(rule: str, confidence: Confidence, event: Event) -> Suspect:
    return Suspect(
        rule=rule,
        confidence=confidence,
        who=event.actor,
        what=event.message,
        when_ns=event.time_ns,
        certainty=event.certainty.value,
        source=event.source,
    )


def _names(event: Event, path: str) -> bool:
    """Whether a command names a path: in full, or from the directory that it was run in."""
    text = event.message
    if event.path == path or _word(path).search(text):
        return True
    directory = event.get("pwd").rstrip("/")
    if not directory or not path.startswith(f"{directory}/"):
        return False
    return bool(_word(path[len(directory) + 1 :]).search(text))


def _names_above(event: Event, path: str) -> bool:
    """Whether a command that changes things was given a directory above a path, and all below it."""
    text = event.message
    if not (
        _CHANGES.search(text)
        and re.search(r"\s-\w*[rR]\w*\b|--recursive|\bfind\b|\*|\brsync\b|\btar\b", text)
    ):
        return False
    parents = [path[:end] for end in range(1, len(path)) if path[end] == "/"]
    directory = event.get("pwd").rstrip("/")
    inside = f"{path}/".startswith(f"{directory}/") if directory else False
    return any(_word(parent).search(text) for parent in parents) or (
        inside and bool(re.search(r"(?<=\s)\.{1,2}/?(?=\s|$)|(?<=\s)\*", text))
    )


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
