"""Paths that a policy requires: there or not, and as it says."""

from __future__ import annotations

from functools import partial

from guestrepair.analyzers.policy.verdict import Verdict
from guestrepair.guest.view import Stat
from guestrepair.model import GuestPath, Subject
from guestrepair.model.requirements import PathRequirement
from guestrepair.system.fact import Unreadable, attempt
from guestrepair.system.guest_system import System

_SHOWN = 60


def judge_path(system: System, wanted: PathRequirement) -> Verdict:
    """One path. What lies on a filesystem that is not mounted here is not known."""
    path = wanted.path
    verdict = Verdict(Subject.of_path(path), str(path))
    real = system.files.resolve(path)
    hidden = system.unmounted_above(path) or (system.unmounted_above(real) if real is not None else "")
    if hidden:
        verdict.unknown.append(hidden)
        return verdict
    link = system.files.lstat(path)
    if not wanted.exists:
        if link is not None:
            verdict.missed(str(path), f"there is {_kind(link)}", "nothing")
        return verdict
    found = link if wanted.kind == "link" else None if real is None else system.files.lstat(real)
    if found is None:
        observed = "there is nothing" if link is None else "there is a link that leads nowhere"
        verdict.missed(str(path), observed, _article(wanted.kind or "file or directory"))
        return verdict
    if wanted.kind and _kind(found) != _article(wanted.kind):
        verdict.missed(str(path), f"there is {_kind(found)}", _article(wanted.kind))
        return verdict
    _attributes(system, wanted, found, verdict)
    if wanted.sha256 or wanted.contains or wanted.matches:
        if found.is_file:
            _content(system, wanted, verdict)
        else:
            verdict.missed(str(path), f"there is {_kind(found)}", "a file")
    return verdict


def _attributes(system: System, wanted: PathRequirement, found: Stat, verdict: Verdict) -> None:
    path, names = str(wanted.path), system.owner_names
    if wanted.mode is not None and found.permissions != wanted.mode:
        verdict.missed(path, f"mode {found.permissions:04o}", f"mode {wanted.mode:04o}")
    if wanted.owner:
        is_owner = names.is_user(found.uid, wanted.owner)
        if is_owner is None:
            verdict.unknown.append(f"whether user {found.uid} is {wanted.owner} is not known")
        elif not is_owner:
            verdict.missed(path, f"owner {names.user(found.uid)}", f"owner {wanted.owner}")
    if wanted.group:
        is_group = names.is_group(found.gid, wanted.group)
        if is_group is None:
            verdict.unknown.append(f"whether group {found.gid} is {wanted.group} is not known")
        elif not is_group:
            verdict.missed(path, f"group {names.group(found.gid)}", f"group {wanted.group}")


def _content(system: System, wanted: PathRequirement, verdict: Verdict) -> None:
    """Digest, texts and lines; each that cannot be read is not known by itself."""
    path, contents = wanted.path, system.file_contents
    if wanted.sha256:
        found = attempt(lambda: contents.sha256(path, wanted.sha256), path)
        if isinstance(found, Unreadable):
            verdict.unknown.append(f"its digest: {found.reason}")
        elif found != wanted.sha256:
            verdict.missed(str(path), f"SHA-256 {found}", f"SHA-256 {wanted.sha256}")
    for text in wanted.contains:
        has_text = partial(contents.has_text, path, text)
        _text(verdict, path, attempt(has_text, path), "text", text)
    for pattern in wanted.matches:
        has_line = partial(contents.has_line, path, pattern)
        _text(verdict, path, attempt(has_line, path), "line like", pattern)


def _text(verdict: Verdict, path: GuestPath, is_there: bool | Unreadable, what: str, text: str) -> None:
    if isinstance(is_there, Unreadable):
        verdict.unknown.append(f"its content: {is_there.reason}")
    elif not is_there:
        shown = text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
        verdict.missed(str(path), f"no {what} {shown!r} is in it", "that it is")


def _kind(found: Stat) -> str:
    if found.is_symlink:
        return "a link"
    return "a directory" if found.is_directory else "a file" if found.is_file else "a special file"


def _article(kind: str) -> str:
    return f"a {kind}"
