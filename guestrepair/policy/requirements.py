"""The entries of ``[[require]]`` as requirements; one entry may make several."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from guestrepair.guest.view import is_possible
from guestrepair.model import GuestPath, Severity
from guestrepair.model.requirements import (
    COMPARISONS,
    KINDS,
    AccountRequirement,
    AnyRequirement,
    PackageRequirement,
    ParameterRequirement,
    PathRequirement,
    UnitRequirement,
)
from guestrepair.policy.table import Table, advice

OF_A_PATH = ("exists", "type", "mode", "owner", "group", "digest", "contains", "matches")
SUBJECTS = (
    "path", "path-absent", "package", "package-absent", "service-enabled", "service-disabled", "account",
    "account-absent", "kernel-parameter", "kernel-parameter-absent",
)  # fmt: skip
KEYS = (*SUBJECTS, *OF_A_PATH, "version", "severity", "reason")
_MODE = re.compile(r"0?[0-7]{3,4}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_UNIT_KINDS = (".service", ".socket", ".timer", ".target", ".path", ".mount", ".automount", ".swap", ".slice")


def requirements(entry: Table) -> Iterator[AnyRequirement]:
    """What one entry requires.

    Raises:
        FormatError: a key or value is wrong, or two of them contradict each other.
    """
    _check(entry)
    severity = entry.choice("severity", tuple(each.value for each in Severity)) or Severity.ERROR.value
    about = {"severity": Severity(severity), "reason": " ".join(entry.text("reason").split())}

    def more(key: str) -> dict[str, Any]:
        return {**about, "place": entry.place(key)}

    yield from _paths(entry, more)
    versions = tuple(_versions(entry))
    for key, wanted in (("package", True), ("package-absent", False)):
        for name in entry.texts(key):
            wants = versions if wanted else ()
            yield PackageRequirement(name=name, installed=wanted, versions=wants, **more(key))
    for key, wanted in (("service-enabled", True), ("service-disabled", False)):
        for name in entry.texts(key):
            yield UnitRequirement(name=_unit(entry, key, name), enabled=wanted, **more(key))
    for key, wanted in (("account", True), ("account-absent", False)):
        for name in entry.texts(key):
            yield AccountRequirement(name=name, present=wanted, **more(key))
    for key, wanted in (("kernel-parameter", True), ("kernel-parameter-absent", False)):
        for text in entry.texts(key):
            yield _parameter(entry, key, text, partial(ParameterRequirement, present=wanted, **more(key)))


def _check(entry: Table) -> None:
    """Refuse unknown keys, an entry that requires nothing, and keys that lack what they are about."""
    given = entry.values
    for key in given:
        if key not in KEYS:
            entry.refuse(key, f"[[require]] has no key {key[:80]!r}", advice(key, KEYS))
    for key in OF_A_PATH:
        if key in given and "path" not in given:
            entry.refuse(key, f"{key} is about no path", 'add path = "/…"')
    if "version" in given and "package" not in given:
        entry.refuse("version", "version is about no package", 'add package = "…"')
    if not any(key in given for key in SUBJECTS):
        entry.refuse("", "[[require]] requires nothing", f"name one of: {', '.join(SUBJECTS)}")


def _paths(entry: Table, more: Callable[[str], dict[str, Any]]) -> Iterator[PathRequirement]:
    for text in entry.texts("path-absent"):
        yield PathRequirement(path=_path(entry, "path-absent", text), exists=False, **more("path-absent"))
    exists = entry.flag("exists", usual=True)
    for key in OF_A_PATH[1:]:
        if not exists and key in entry.values:
            entry.refuse(key, f"{key} of a path that is not to exist", "take exists = false or this out")
    kind = entry.choice("type", KINDS)
    for key in ("digest", "contains", "matches"):
        if kind not in {"", "file"} and key in entry.values:
            entry.refuse(key, f"{key} of a path that is to be a {kind}", 'write type = "file"')
    for text in entry.texts("path"):
        yield PathRequirement(
            path=_path(entry, "path", text),
            exists=exists,
            kind=kind,
            mode=_mode(entry),
            owner=entry.text("owner"),
            group=entry.text("group"),
            sha256=_digest(entry),
            contains=entry.texts("contains"),
            matches=_lines(entry),
            **more("path"),
        )


def _path(entry: Table, key: str, text: str) -> GuestPath:
    path = GuestPath("/" + text.lstrip("/"))
    if not text.startswith("/") or ".." in path.parts or not is_possible(text):
        entry.refuse(key, f"{text[:80]!r} is no absolute path of a guest", f'write {key} = "/etc/motd"')
    return path


def _mode(entry: Table) -> int | None:
    text = entry.text("mode")
    if text and not _MODE.fullmatch(text):
        entry.refuse("mode", f"{text[:20]!r} is no mode", 'write four octal digits: mode = "0644"')
    return int(text, 8) if text else None


def _digest(entry: Table) -> str:
    text = entry.text("digest").lower()
    digest = text.removeprefix("sha256:")
    if text and not _SHA256.fullmatch(digest):
        entry.refuse("digest", "that is no SHA-256", 'write digest = "sha256:…", as sha256sum(1) prints it')
    return digest


def _lines(entry: Table) -> tuple[str, ...]:
    for pattern in entry.texts("matches"):
        if "\n" in pattern:
            entry.refuse("matches", "a pattern of more than one line", "use contains")
    return tuple(pattern.strip() for pattern in entry.texts("matches"))


def _versions(entry: Table) -> Iterator[tuple[str, str]]:
    """``>= 1.2, < 2`` as pairs; a version alone is the one that it must be."""
    for part in entry.text("version").split(","):
        text = part.strip()
        if not text:
            continue
        comparison = next((c for c in COMPARISONS if text.startswith(c)), "")
        version = text.removeprefix(comparison).removeprefix("=" if not comparison else "").strip()
        if not version or set(version) & set("<>=! "):
            entry.refuse("version", f"{text[:80]!r} is no range", 'write version = ">= 1.2, < 2"')
        yield comparison or "==", version


def _unit(entry: Table, key: str, name: str) -> str:
    if "/" in name or len(name) > 255 or any(character.isspace() for character in name):
        entry.refuse(key, f"{name[:80]!r} is no unit", f'write {key} = "sshd.service"')
    return name if name.endswith(_UNIT_KINDS) else f"{name}.service"


def _parameter(
    entry: Table, key: str, text: str, make: Callable[..., ParameterRequirement]
) -> ParameterRequirement:
    name, equals, value = text.partition("=")
    if not name or any(character.isspace() or character == '"' for character in name):
        entry.refuse(key, f"{text[:80]!r} is no kernel parameter", f'write {key} = "console=ttyS0"')
    return make(name=name, value=value if equals else None)


def contradictions(required: Sequence[AnyRequirement]) -> Iterator[str]:
    """A sentence, with file and line, for each requirement that cannot be met beside an earlier one."""
    seen: dict[tuple[object, ...], tuple[object, str]] = {}
    for requirement in required:
        for what, wanted in _wants(requirement):
            before = seen.setdefault(what, (wanted, requirement.place))
            if before[0] != wanted:
                line = before[1].rpartition(":")[2]
                yield f"{requirement.place}: {what[1]}: contradicts the requirement of line {line}"


def _wants(requirement: AnyRequirement) -> Iterator[tuple[tuple[object, ...], object]]:
    """What can have one value only, and the value that it is to have."""
    match requirement:
        case PathRequirement():
            yield ("path", str(requirement.path)), requirement.exists
            single = ("kind", "mode", "owner", "group", "sha256")
            for name in single:
                value = getattr(requirement, name)
                if value not in {None, ""}:
                    yield ("path", str(requirement.path), name), value
        case PackageRequirement():
            yield ("package", requirement.name), requirement.installed
            for comparison, version in requirement.versions:
                if comparison == "==":
                    yield ("package", requirement.name, "version"), version
        case UnitRequirement():
            yield ("unit", requirement.name), requirement.enabled
        case AccountRequirement():
            yield ("account", requirement.name), requirement.present
        case ParameterRequirement():
            yield from _wants_of_parameter(requirement)


def _wants_of_parameter(requirement: ParameterRequirement) -> Iterator[tuple[tuple[object, ...], object]]:
    name = requirement.name.replace("-", "_")
    if requirement.present or requirement.value is None:
        yield ("parameter", name), requirement.present
    if requirement.value is not None and not requirement.present:
        yield ("parameter", f"{name}={requirement.value}"), False
    elif requirement.value is not None:
        yield ("parameter", f"{name}={requirement.value}"), True
        if not requirement.may_repeat:
            yield ("parameter", name, "value"), requirement.value
