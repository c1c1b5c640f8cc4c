"""Accounts, groups and keys. No password hash leaves this module: only whether it is the same."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace

from guestrepair.compare.model import Difference, Section
from guestrepair.compare.tables import Fields, Table, differing, numbered
from guestrepair.formats.passwd import AccountFile, GroupEntry, PasswdEntry, ShadowEntry
from guestrepair.formats.ssh_key import parse_public_key
from guestrepair.inventory.accounts import password_state
from guestrepair.inventory.keys import fingerprint, key_file, key_places, option_text
from guestrepair.model import GuestPath
from guestrepair.system.fact import parsed
from guestrepair.system.guest_system import System
from guestrepair.system.sshd.authorized_keys import KeyFile

_FILES = frozenset(f"/etc/{name}" for name in ("passwd", "shadow", "group", "gshadow"))
_HOST_KEYS = GuestPath("/etc/ssh")
_SHOWN = 200
_PASSWORD = "password"  # noqa: S105 (the name of a field)
_HASH = "hash"
_IN_SHADOW = "x"


def accounts(one: System, other: System) -> Iterator[Difference]:
    """Accounts and groups, line by line of their files."""
    before, after = _account_table(one), _account_table(other)
    for difference in differing(Section.ACCOUNTS, *_without_hashes(before, after)):
        yield replace(difference, explains=_FILES)


def _account_table(system: System) -> dict[str, dict[str, str]]:
    found = system.accounts
    shadow = {entry.name: entry for entry in reversed(found.shadow.entries)}
    rows: list[tuple[str, dict[str, str]]] = [
        (entry.name, _account_fields(entry, shadow.pop(entry.name, None))) for entry in found.passwd.entries
    ]
    rows += [(f"{name} (in shadow alone)", _password(entry.password)) for name, entry in shadow.items()]
    hidden = {entry.name: entry for entry in reversed(found.gshadow.entries)}
    for group in found.group.entries:
        entry = hidden.get(group.name)
        fields = {"gid": str(group.gid), "members": " ".join(sorted(group.members))}
        if entry is not None:
            fields |= {"administrators": " ".join(sorted(entry.administrators))} | _password(entry.password)
        rows.append((f"group {group.name}", fields))
    rows += _malformed(found.passwd, found.group)
    return {name: dict(fields) for name, fields in numbered(rows).items()}


def _account_fields(entry: PasswdEntry, shadow: ShadowEntry | None) -> dict[str, str]:
    fields = {
        "uid": str(entry.uid),
        "gid": str(entry.gid),
        "comment": entry.gecos,
        "home": entry.home,
        "shell": entry.shell,
    } | _password(shadow.password if shadow is not None and entry.password == _IN_SHADOW else entry.password)
    if shadow is not None:
        days = {
            "minimum age": shadow.minimum_days,
            "maximum age": shadow.maximum_days,
            "warning": shadow.warning_days,
            "inactive": shadow.inactive_days,
            "expires on day": shadow.expire_days,
        }
        fields |= {name: str(value) for name, value in days.items() if value is not None}
    return fields


def _malformed(
    *files: AccountFile[PasswdEntry] | AccountFile[GroupEntry],
) -> Iterator[tuple[str, dict[str, str]]]:
    for file in files:
        for bad in file.malformed:
            yield f"line that is no entry: {bad.line.text.partition(':')[0][:_SHOWN]}", {"why": bad.reason}


def _password(value: str) -> dict[str, str]:
    return {_PASSWORD: password_state(value), _HASH: value}


def _without_hashes(
    before: dict[str, dict[str, str]], after: dict[str, dict[str, str]]
) -> tuple[Table, Table]:
    """Where the hash is another and the state the same, the state is called ``changed``."""
    for name, fields in after.items():
        old = before.get(name, {})
        is_other = name in before and _HASH in fields and fields[_HASH] != old.get(_HASH)
        if is_other and fields.get(_PASSWORD) == old.get(_PASSWORD):
            fields[_PASSWORD] = f"{fields[_PASSWORD]}, changed"
    for fields in (*before.values(), *after.values()):
        fields.pop(_HASH, None)
    return before, after


# --- keys -------------------------------------------------------------------------------


def keys(one: System, other: System) -> Iterator[Difference]:
    """Keys that let somebody in, and the host's own, by their fingerprints."""
    before, after = _key_rows(one), _key_rows(other)
    files = {name: (path,) for name, (path, _) in {**before, **after}.items()}
    yield from differing(
        Section.KEYS,
        {name: fields for name, (_, fields) in before.items()},
        {name: fields for name, (_, fields) in after.items()},
        files,
    )


def _key_rows(system: System) -> dict[str, tuple[str, Fields]]:
    found: dict[str, tuple[str, Fields]] = {}
    for account, path in _places(system):
        file = key_file(system, path)
        for name, fields in () if file is None else _lines(file):
            found.setdefault(f"{account} {name}", (str(file.real) if file else str(path), fields))
    for path in system.view.glob(_HOST_KEYS, "ssh_host_*_key.pub"):
        data = system.view.read(path)
        key = parsed(parse_public_key, data, path)
        found[f"host key {path.name.removesuffix('.pub')}"] = (
            str(path),
            {"type": key.type, "fingerprint": fingerprint(key)},
        )
    return found


def _places(system: System) -> Iterator[tuple[str, GuestPath]]:
    """Each account with the files where its keys are, or would be by sshd's defaults."""
    seen: set[tuple[str, GuestPath]] = set()
    for entry in system.accounts.passwd.entries:
        for path in key_places(system, system.accounts.account(entry)):
            if (entry.name, path) not in seen:
                seen.add((entry.name, path))
                yield entry.name, path


def _lines(file: KeyFile) -> Iterator[tuple[str, Fields]]:
    for line in file.keys.lines:
        if line.key is not None:
            yield (
                fingerprint(line.key),
                {
                    "type": line.key.type,
                    "comment": line.key.comment,
                    "options": option_text(line.options),
                    "in": str(file.path),
                },
            )
        elif line.reason:
            digest = hashlib.sha256(line.raw).hexdigest()[:16]
            yield f"line without a key (sha256 {digest}…)", {"why": line.reason, "in": str(file.path)}
