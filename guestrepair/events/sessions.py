"""Who was logged in, from when until when: by all records of logins together.

sshd, PAM, logind and wtmp each tell of one login, and text logs and the journal tell it twice; the ends stand
in newer files than the begins where a log was rotated in between.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from guestrepair.events.model import NANOSECOND, Event, Kind

_ONE_LOGIN_NS = 5 * NANOSECOND
"""Different records tell of one login within so long."""
_ROTATED = re.compile(r"(?:[.-]\d{1,14}|\.old|\.gz|\.bz2|\.xz|\.lzma|\.zst|\.lz4|~){1,6}$")
_ROTATED_WITHIN = re.compile(r"-\d{6,14}(?:-\d{1,14})?(?=\.[a-z]{1,8}$)")
_JOURNALS = ("/var/log/journal/", "/run/log/journal/")
_KEYS = ("session", "line", "pid")


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Somebody logged in, from a time until another (None: no end is on record)."""

    who: str
    begin_ns: int
    end_ns: int | None
    event: Event


_Place = tuple[str, str, str]
"""A log, by what its records name a session, and that name."""


def sessions_of(events: Iterable[Event]) -> list[Session]:
    """Logins with their logouts, each login once; a boot, or a shutdown, ends what is open."""
    wanted = [e for e in events if e.kind in {Kind.LOGIN, Kind.BOOT, Kind.COMMAND}]
    wanted.sort(key=lambda e: e.time_ns)
    open_now: dict[_Place, Event] = {}
    found: list[tuple[_Place, Session]] = []
    for event in wanted:
        action = event.get("action")
        if event.kind is Kind.BOOT:
            if action in {"boot", "shutdown"}:
                found += [(at, _session(begin, event.time_ns)) for at, begin in open_now.items()]
                open_now.clear()
        elif event.kind is Kind.LOGIN and action in {"login", "logout"}:
            place = _place(event)
            # A login whose end is not on record ends where its line is another's.
            if place in open_now and (action == "logout" or event.actor):
                found.append((place, _session(open_now.pop(place), event.time_ns)))
            if action == "login" and event.actor:
                open_now[place] = event
    found += [(at, _session(begin, None)) for at, begin in open_now.items()]
    return _each_once(found, _jobs(wanted))


def log_of(source: str) -> str:
    """The log that a record stands in, by one name for all its rotations."""
    path = source.partition(":")[0]
    if path.startswith(_JOURNALS):
        return "journal"
    return _ROTATED_WITHIN.sub("", _ROTATED.sub("", path))


def _place(event: Event) -> _Place:
    key = next((key for key in _KEYS if event.get(key)), "")
    return log_of(event.source), key, event.get(key)


def _session(begin: Event, end_ns: int | None) -> Session:
    return Session(who=begin.actor or "", begin_ns=begin.time_ns, end_ns=end_ns, event=begin)


def _jobs(events: Iterable[Event]) -> dict[str, list[int]]:
    """When cron ran something for whom."""
    found: dict[str, list[int]] = {}
    for event in events:
        if event.kind is Kind.COMMAND and event.actor and event.get("record") == "cron":
            found.setdefault(event.actor, []).append(event.time_ns)
    return found


def _each_once(found: Iterable[tuple[_Place, Session]], jobs: dict[str, list[int]]) -> list[Session]:
    """One session for what several records tell of one login; logind's sessions of cron's jobs are none."""
    people: dict[str, list[tuple[_Place, Session]]] = {}
    for place, session in sorted(found, key=lambda pair: pair[1].begin_ns):
        people.setdefault(session.who, []).append((place, session))
    merged: list[Session] = []
    for who, own in people.items():
        group: list[tuple[_Place, Session]] = []
        for pair in own:
            if group and pair[1].begin_ns - group[0][1].begin_ns > _ONE_LOGIN_NS:
                merged += _one(group, jobs.get(who, ()))
                group = []
            group.append(pair)
        merged += _one(group, jobs.get(who, ()))
    return sorted(merged, key=lambda session: session.begin_ns)


def _one(group: Sequence[tuple[_Place, Session]], jobs: Sequence[int]) -> list[Session]:
    sessions = [session for _, session in group]
    begin = sessions[0].begin_ns
    by_logind = all(key == "session" for (_, key, _), _ in group)
    if by_logind and any(abs(job - begin) <= _ONE_LOGIN_NS for job in jobs):
        return []
    best = max(sessions, key=lambda session: len(session.event.detail))
    return [Session(who=best.who, begin_ns=begin, end_ns=_end(group), event=best.event)]


def _end(group: Iterable[tuple[_Place, Session]]) -> int | None:
    """The last end, by those records that have the end of all their sessions."""
    ends: dict[tuple[str, str], list[int | None]] = {}
    for (log, key, _), session in group:
        ends.setdefault((log, key), []).append(session.end_ns)
    whole = [[end for end in each if end is not None] for each in ends.values() if None not in each]
    return max((max(each) for each in whole), default=None)
