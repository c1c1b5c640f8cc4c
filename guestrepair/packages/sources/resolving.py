"""Resolve changes to the files they will be carried out with: sources in their order, each behind the gate.

The gate: package, version and architecture equal the guest's, and the digest equals the one in the
guest's own database. Symbolic links, directories and empty files that the database describes whole
(rpm, pacman) need no source.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from guestrepair.errors import FormatError
from guestrepair.formats import capabilities
from guestrepair.guest.accounts import AccountNames
from guestrepair.guest.package_formats import format_named
from guestrepair.guest.view import Guest
from guestrepair.model import PackagedKind, RestoreAttributes, RestoreFile
from guestrepair.packages.sources.base import FileSource, Refusal, Resolution, SourcedChange, SourcedFile
from guestrepair.packages.sources.donor import private_file

DATABASE = "the guest's package database"
KNOWN = "what its package sets after unpacking, or a stat-override"
"""dpkg's database records no modes and owners: there they come from a table of setuid programs."""

NO_SOURCE = "no source was given: --packages DIR, --donor IMAGE|DIR or --fetch"


def resolve_sources(
    guest: Guest, changes: Iterable[SourcedChange], sources: Sequence[FileSource], workdir: Path
) -> Resolution:
    """Find a source for each change; the first one in order that passes the gate is taken.

    ``workdir`` is a private directory of this host, kept until the changes are carried out.
    """
    accounts = AccountNames(guest)
    kind = format_named(guest.os.package_format)
    described_by = DATABASE if kind is None or kind.records_attributes else KNOWN
    pending = dict.fromkeys(changes)
    resolved: dict[SourcedChange, SourcedFile] = {}
    refused: dict[SourcedChange, list[str]] = defaultdict(list)
    for change in pending:
        found = _from_database(change, workdir, described_by)
        if found is not None:
            _settle(change, found, accounts, resolved, refused, described_by)
    for source in sources:
        for group in _by_package(c for c in pending if c not in resolved):
            for change, answer in source.find(group, workdir).items():
                _settle(change, answer, accounts, resolved, refused, source.name)
    left = [c for c in pending if c not in resolved]
    return Resolution(resolved, {c: tuple(refused[c]) or (NO_SOURCE,) for c in left})


def _by_package(changes: Iterable[SourcedChange]) -> Iterable[list[SourcedChange]]:
    groups: dict[tuple[str, str, str], list[SourcedChange]] = defaultdict(list)
    for change in changes:
        groups[change.package, change.version, change.architecture].append(change)
    return groups.values()


def _settle(
    change: SourcedChange,
    answer: SourcedFile | Refusal,
    accounts: AccountNames,
    resolved: dict[SourcedChange, SourcedFile],
    refused: Mapping[SourcedChange, list[str]],
    source: str,
) -> None:
    judged = _through_gate(change, answer, accounts)
    if isinstance(judged, Refusal):
        refused[change].append(f"{source}: {judged.reason}")
    else:
        resolved[change] = judged


def _through_gate(
    change: SourcedChange, answer: SourcedFile | Refusal, accounts: AccountNames
) -> SourcedFile | Refusal:
    if isinstance(answer, Refusal):
        return answer
    if isinstance(change, RestoreFile):
        wanted, got = change.file_kind, answer.kind
        if wanted not in (PackagedKind.OTHER, got):
            return Refusal(f"it is a {got} there, and a {wanted} in the guest's database")
        if got is PackagedKind.OTHER:
            return Refusal("it is a special file there")
        digest = _digest(change, answer)
        if change.digest and digest != change.digest:
            return Refusal(
                f"its digest {digest or 'is not known'} is not the {change.digest} of the database"
            )
        if change.link_target is not None and answer.link_target != change.link_target:
            return Refusal(f"the link leads to {answer.link_target} there, not to {change.link_target}")
    return _with_attributes(change, answer, accounts)


def _digest(change: RestoreFile, answer: SourcedFile) -> str:
    """apk's database has the digest of a link's target, where the others have none."""
    algorithm = change.digest.partition(":")[0]
    if answer.kind is not PackagedKind.SYMLINK or not algorithm:
        return answer.digest
    target = (answer.link_target or "").encode("utf-8", "surrogateescape")
    return f"{algorithm}:{hashlib.new(algorithm, target, usedforsecurity=False).hexdigest()}"


def _with_attributes(
    change: SourcedChange, answer: SourcedFile, accounts: AccountNames
) -> SourcedFile | Refusal:
    """The database's own mode, owner and capabilities over those of the source; names made numbers."""
    owner = change.owner if change.owner is not None else answer.owner
    group = change.group if change.group is not None else answer.group
    uid = accounts.uid(owner) if owner else answer.uid
    gid = accounts.gid(group) if group else answer.gid
    if uid is None or gid is None:
        why = f" that can be looked up ({'; '.join(accounts.unreadable)})" if accounts.unreadable else ""
        return Refusal(f"the guest has no user or group {owner}:{group}{why}")
    xattrs = dict(answer.xattrs)
    if change.capabilities is not None:
        try:
            value = capabilities.format_xattr(capabilities.parse_text(change.capabilities))
        except FormatError as error:
            return Refusal(error.message)
        xattrs.pop(capabilities.XATTR, None)
        if value:
            xattrs[capabilities.XATTR] = value
    mode = answer.mode if change.mode is None else change.mode
    mtime = change.mtime if isinstance(change, RestoreFile) and change.mtime is not None else answer.mtime
    return replace(answer, mtime=mtime, mode=mode, uid=uid, gid=gid, owner=owner, group=group, xattrs=xattrs)


def _from_database(change: SourcedChange, workdir: Path, described_by: str) -> SourcedFile | None:
    """What the guest's own database describes whole, or None."""
    if change.mode is None or change.owner is None or change.group is None:
        return None
    base = SourcedFile(
        source=described_by, kind=PackagedKind.OTHER, mode=change.mode, uid=0, gid=0,
        owner=change.owner, group=change.group,
    )  # fmt: skip
    if isinstance(change, RestoreAttributes):
        return base
    if change.file_kind is PackagedKind.DIRECTORY:
        return replace(base, kind=PackagedKind.DIRECTORY)
    if change.file_kind is PackagedKind.SYMLINK and change.link_target:
        return replace(base, kind=PackagedKind.SYMLINK, link_target=change.link_target)
    algorithm, _, digest = change.digest.partition(":")
    if digest and digest == hashlib.new(algorithm, usedforsecurity=False).hexdigest():
        empty = private_file(workdir)
        return replace(base, kind=PackagedKind.FILE, content=empty, digest=change.digest)
    return None
