"""Passwords and tokens in commands and logs, masked: a timeline is shown to more people than a guest is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from guestrepair.events.model import Event

MASK = "********"
_WORD = r"(?:pass(?:word|wd|phrase)?|pwd|secret|token|api[-_]?key|access[-_]?key|credentials?)"
_PATTERNS = (
    # NAME=VALUE; NAME may stand within a longer one, as in DB_PASSWORD
    re.compile(rf"(?i)([\w-]{{0,40}}{_WORD}[\w-]{{0,20}}[\"']?\s{{0,4}}=\s{{0,4}}[\"']?)([^\s\"'&;,]+)"),
    # NAME: VALUE, but no path with a line's number or a reason behind it, as in /etc/passwd:12
    re.compile(
        rf"(?i)((?<![/.\w-])[\w-]{{0,40}}{_WORD}[\w-]{{0,20}}[\"']?\s{{0,4}}:\s{{0,4}}[\"']?)([^\s\"'&;,]+)"
    ),
    # --NAME VALUE
    re.compile(rf"(?i)(--[\w-]{{0,40}}{_WORD}[\w-]{{0,20}}\s{{1,4}}[\"']?)([^\s\"'-][^\s\"']*)"),
    re.compile(r"(?i)(\bbearer\s{1,4}|\bauthorization:\s{0,4}basic\s{1,4})([\w.~+/=-]+)"),
    re.compile(
        r"(\b[a-zA-Z][\w+.-]{1,20}://[^\s:/@]{1,200}:)([^\s@/]{1,200})(?=@)"
    ),  # scheme://user:password@
    re.compile(r"(\biscsi:[^\s:@]{1,200}:)([^\s@]{1,600})(?=@)"),  # netroot=iscsi:user:password@, dracut's
    re.compile(r"(\b(?:sshpass|mysql|mysqldump|mysqladmin|mariadb)\b[^|;&]{0,200}?\s-p\s{0,4})([^\s-]\S*)"),
    re.compile(
        r"(\becho\s{1,4}[\"']?[\w.-]{1,64}:)([^\s\"']+)(?=[\"']?\s{0,4}\|\s{0,4}(?:sudo\s{1,4})?chpasswd)"
    ),
    re.compile(r"(\bopenssl\s{1,4}passwd\s[^|;&]{0,100}?)(\S+)\s{0,4}$"),
    re.compile(r"(\b(?:curl|wget)\b[^|;&]{0,400}?\s-u\s{0,4}[^\s:]{1,100}:)(\S+)"),
    re.compile(r"()(\$(?:1|2[abxy]|5|6|7|y|gy)\$[\w./$,=-]{8,})"),  # crypt(5)
    re.compile(r"()(\b(?:AKIA|ASIA)[0-9A-Z]{16}\b)"),
    re.compile(r"()(\bgh[pousr]_\w{20,}|\bglpat-[\w-]{16,}|\bxox[abpr]-[\w-]{10,})"),
    re.compile(r"()(\beyJ[\w-]{8,}\.[\w-]{4,}\.[\w-]+)"),  # a JSON web token
)
_PACKAGE = re.compile(
    r"(?i)(?!(?:pass(?:word|phrase)|pwd|secret|token|api[-_]?key|access[-_]?key|credentials?):)[\w-]{1,100}:"
    r"(?:all|any|noarch|amd64|arm64|armel|armhf|i[3-6]86|mips(?:64)?el|ppc64(?:el|le)?|riscv64|s390x|loong64"
    r"|x86_64(?:_v[2-4])?|aarch64|armv7h?l|loongarch64)(?:=[0-9][\w.+:~-]{0,100})?[)\].:]{0,2}"
)
"""A package and its architecture (and version), as in ``passwd:amd64``: no assignment."""

_MAX_TEXT = 32_768
_TOGETHER = 64
_HINTS = (
    "pass", "pwd", "secret", "token", "key", "credential", "bearer", "authorization", "://", " -p", " -u",
    "iscsi:", "$", "akia", "asia", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "glpat-", "xox", "eyj", "\t", "\n",
)  # fmt: skip
"""In small letters: where none of them is, there is no secret. A pattern takes longer."""


def _may_hold(text: str, hints: Sequence[str] = _HINTS) -> bool:
    small = text.lower()
    for hint in hints:  # noqa: SIM110 - asked of every event: any() takes twice the time
        if hint in small:
            return True
    return False


def masked(text: str) -> str:
    """The text with what looks like a secret replaced; a very long one is cut, since nobody reads its end."""
    text = text if len(text) <= _MAX_TEXT else text[:_MAX_TEXT] + "…"
    if not _may_hold(text):
        return text
    for pattern in _PATTERNS:
        text = pattern.sub(_replaced, text)
    return text


def _replaced(found: re.Match[str]) -> str:
    return found[0] if _PACKAGE.fullmatch(found[0]) else f"{found[1]}{MASK}"


def without_secrets(event: Event) -> Event:
    """The event with its texts masked: message, path, source and further facts."""
    return _masked_event(event) if _may_hold(_texts(event)) or len(event.message) > _MAX_TEXT else event


def all_without_secrets(events: Iterable[Event]) -> Iterator[Event]:
    """Each event as :func:`without_secrets` gives it.

    Many are asked together which hints they have at all: of millions of events, few have any.
    """
    left = iter(events)
    while some := list(islice(left, _TOGETHER)):
        texts = list(map(_texts, some))
        together = "\0".join(texts).lower()
        hints = [hint for hint in _HINTS if hint in together]
        for event, text in zip(some, texts, strict=True):
            is_suspect = (hints and _may_hold(text, hints)) or len(text) > _MAX_TEXT
            yield without_secrets(event) if is_suspect else event


def _texts(event: Event) -> str:
    """All that an event says, but for names."""
    _, source, _, _, message, _, _, path, detail = event
    return "\0".join([message, path or "", source, *[value for _, value in detail]])


def _masked_event(event: Event) -> Event:
    return event._replace(
        message=masked(event.message),
        path=event.path and masked(event.path),
        source=masked(event.source),
        detail=tuple((name, masked(value)) for name, value in event.detail),
    )


def masked_document(value: Any) -> Any:
    """A JSON document with all its texts masked, but for names of fields."""
    match value:
        case str():
            return masked(value)
        case list() | tuple():
            return [masked_document(each) for each in value]
        case dict():
            return {name: masked_document(each) for name, each in value.items()}
        case _:
            return value
