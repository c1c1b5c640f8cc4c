"""Host keys: whether sshd can load at least one, and whether others can read them.

sshd ignores a private key of its own that group or others may read, write or
execute (authfile.c, sshkey_perm_ok()), logs "UNPROTECTED PRIVATE KEY FILE", and
exits with "no hostkeys available" when none is left (sshd.c, main()).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from guestrepair.analyzers.sshd.facts import SshdFacts
from guestrepair.analyzers.sshd.keygen import key_generator
from guestrepair.errors import FormatError, GuestReadError
from guestrepair.formats.ssh_key import MAX_KEY_BYTES, PrivateKey, parse_private_key, parse_public_key
from guestrepair.guest.view import Stat
from guestrepair.model import (
    Change,
    Evidence,
    Finding,
    GenerateHostKey,
    GuestPath,
    Inconclusive,
    Repair,
    Safety,
    SetMode,
    SetOwner,
    Severity,
    WriteFile,
)

SSH_KEYS_GROUP = "ssh_keys"
"""Group of Red Hat's ssh-keysign: 0640 root:ssh_keys is allowed by a patch there, up to OpenSSH 8."""

PRIVATE_MODE = 0o600
KEY_TYPES = {"rsa": "rsa", "ecdsa": "ecdsa", "ed25519": "ed25519", "dsa": "rsa"}
MISMATCH_IGNORED_SINCE = (8, 4)
"""From here on sshd derives the public half itself when the .pub file does not match."""


@dataclass(frozen=True, slots=True)
class HostKey:
    """One host key file that this sshd would try, and what is wrong with it."""

    named: GuestPath
    path: GuestPath
    explicit: str
    stat: Stat | None
    unsafe: bool
    damage: str
    key: PrivateKey | None

    @property
    def usable(self) -> bool:
        """True when sshd would load it."""
        return self.stat is not None and not self.unsafe and not self.damage


def check_host_keys(facts: SshdFacts) -> Iterator[Finding | Inconclusive]:
    """host-key-unsafe, host-key-missing, host-key-corrupt."""
    keys: list[HostKey] = []
    for path, source in facts.host_key_files:
        hidden = facts.unmounted_above(path)
        if hidden:
            yield facts.inconclusive(f"the host key {path} was not examined: {hidden}")
            return
        try:
            keys.append(_examine(facts, path, source))
        except GuestReadError as error:
            yield facts.inconclusive(f"host key: {error.message}")
            return
    usable = any(key.usable for key in keys)
    generator = key_generator(facts)
    for key in keys:
        if key.stat is not None and key.damage:
            yield _corrupt(facts, key, generator)  # its owner and mode go with it
            continue
        if key.stat is not None and (key.unsafe or key.stat.uid != 0):
            yield _unsafe(facts, key, none_left=not usable)
        if key.key is not None:
            yield from _public_half(facts, key)
    yield from _missing(facts, keys, usable=usable, generator=generator)


def _examine(facts: SshdFacts, named: GuestPath, source: str) -> HostKey:
    guest = facts.guest
    resolved = guest.resolve(named)
    found = None if resolved is None else guest.lstat(resolved)
    if resolved is None or found is None:
        return HostKey(named, named, source, None, False, "", None)
    unsafe = found.uid == 0 and _readable_by_others(facts, found)
    if not found.is_file:
        return HostKey(named, resolved, source, found, False, "not a regular file", None)
    try:
        data = guest.read(resolved, limit_bytes=MAX_KEY_BYTES) if found.size_bytes <= MAX_KEY_BYTES else b"\0"
        key = parse_private_key(data)
    except FormatError as error:
        return HostKey(named, resolved, source, found, unsafe, error.message, None)
    damage = "protected by a passphrase, which sshd cannot ask for" if key.encrypted else ""
    return HostKey(named, resolved, source, found, unsafe, damage, key)


def _readable_by_others(facts: SshdFacts, found: Stat) -> bool:
    bits = found.permissions & 0o077
    return bool(bits) and not (bits == 0o040 and _is_keys_group(facts, found.gid))


def _is_keys_group(facts: SshdFacts, gid: int) -> bool:
    group = facts.group.get(SSH_KEYS_GROUP)
    return group is not None and group.gid == gid and facts.server.release < (9, 0)


def _unsafe(facts: SshdFacts, key: HostKey, *, none_left: bool) -> Finding:
    found = key.stat or Stat(0)
    keys_group = _is_keys_group(facts, found.gid)
    mode, gid = (0o640, found.gid) if keys_group else (PRIVATE_MODE, 0)
    changes: list[Change] = []
    if (found.uid, found.gid) != (0, gid):
        changes.append(SetOwner(path=key.path, before=(found.uid, found.gid), after=(0, gid)))
    if found.permissions != mode:
        changes.append(SetMode(path=key.path, before=found.permissions, after=mode))
    observed = f"uid {found.uid}, gid {found.gid}, mode {found.permissions:04o}"
    if key.unsafe:
        reason = f'mode {found.permissions:04o}, so sshd ignores it: "UNPROTECTED PRIVATE KEY FILE!"'
    else:
        reason = f"it belongs to uid {found.uid}, who can read and replace it"
    end = (
        ', and no usable host key is left: "no hostkeys available -- exiting."'
        if none_left and key.unsafe
        else ""
    )
    return Finding(
        rule="sshd/host-key-unsafe",
        severity=Severity.ERROR if none_left and key.unsafe else Severity.WARNING,
        subject=str(key.named),
        message=f"host key {key.named}: {reason}{end}",
        evidence=(Evidence(str(key.path), observed, f"uid 0, gid {gid}, mode {mode:04o}"),),
        repair=Repair(f"set {key.path} to uid 0, gid {gid}, mode {mode:04o}", Safety.SAFE, tuple(changes)),
    )


def _corrupt(facts: SshdFacts, key: HostKey, generator: str) -> Finding:
    size = key.stat.size_bytes if key.stat else 0
    is_empty_file = key.stat is not None and key.stat.is_file and size == 0
    made_anew = generator if is_empty_file and facts.server.release >= (8, 0) else ""
    message = f'host key {key.named} cannot be loaded: {key.damage} ("Unable to load host key: {key.named}")'
    if made_anew:
        message += f"; {made_anew} makes a new one at the next boot"
    return Finding(
        rule="sshd/host-key-corrupt",
        severity=Severity.WARNING if made_anew else Severity.ERROR,
        subject=str(key.named),
        message=message,
        evidence=(
            Evidence(str(key.path), f"{size} bytes: {key.damage}", "a private key that sshd can load"),
        ),
        repair=_generate(facts, [key]),
    )


def _public_half(facts: SshdFacts, key: HostKey) -> Iterator[Finding | Inconclusive]:
    path = key.path.with_name(key.path.name + ".pub")
    guest = facts.guest
    if key.key is None or key.key.public is None or not guest.is_file(path):
        return
    try:
        data = guest.read(path, limit_bytes=MAX_KEY_BYTES)
    except GuestReadError as error:
        yield facts.inconclusive(f"public half of a host key: {error.message}")
        return
    try:
        problem = (
            ""
            if parse_public_key(data).blob == key.key.public.blob
            else "it is not the public half of this private key"
        )
    except FormatError as error:
        problem = error.message
    if not problem:
        return
    ignored = facts.server.release >= MISMATCH_IGNORED_SINCE or "not the public half" not in problem
    resolved = guest.resolve(path) or path
    yield Finding(
        rule="sshd/host-key-corrupt",
        severity=Severity.WARNING if ignored else Severity.ERROR,
        subject=str(path),
        message=f'{path}: {problem} ("Public key for {key.named} does not match private key")',
        evidence=(Evidence(str(path), problem, f"the public half of {key.named}"),),
        repair=Repair(
            f"write the public half of {key.named} anew; the key itself stays",
            Safety.SAFE,
            (WriteFile(path=resolved, before=data, after=key.key.public.line()),),
        ),
    )


def _missing(
    facts: SshdFacts, keys: list[HostKey], *, usable: bool, generator: str
) -> Iterator[Finding | Inconclusive]:
    lacking = [key for key in keys if key.stat is None]
    if generator or facts.uses_key_agent or not lacking:
        return
    if len(lacking) == len(keys):
        first, *others = lacking
        names = ", ".join(str(key.named) for key in lacking)
        yield Finding(
            rule="sshd/host-key-missing",
            severity=Severity.ERROR,
            subject=str(first.named),
            message=f'sshd will not start: "no hostkeys available -- exiting." (none of {names} is there,'
            " and nothing makes them at boot)",
            evidence=(
                Evidence(names, "not there", "at least one private host key"),
                Evidence("units, init scripts, cloud-init", "none makes host keys", ""),
            ),
            repair=_generate(facts, lacking),
            folded=tuple(str(key.named) for key in others),
        )
        return
    for key in lacking:
        if key.explicit:
            yield _named_but_missing(key)


def _named_but_missing(key: HostKey) -> Finding:
    return Finding(
        rule="sshd/host-key-missing",
        severity=Severity.NOTE,
        subject=str(key.named),
        message=f"{key.explicit} names the host key {key.named}, which is not there;"
        " sshd goes on with the others",
        evidence=(Evidence(str(key.named), "not there", "a private host key"),),
    )


def _generate(facts: SshdFacts, keys: list[HostKey]) -> Repair:
    group = facts.group.get(SSH_KEYS_GROUP)
    shared = group is not None and facts.server.release < (9, 0) and facts.server.family == "rhel"
    mode, gid = (0o640, group.gid) if shared and group is not None else (PRIVATE_MODE, 0)
    changes = tuple(
        GenerateHostKey(path=key.path, key_type=key_type(key.named), mode=mode, gid=gid) for key in keys
    )
    names = ", ".join(str(key.named) for key in keys)
    return Repair(f"generate {names} anew (clients will see a changed host key)", Safety.REVIEW, changes)


def key_type(path: GuestPath) -> str:
    """The type that a host key file's name promises; ed25519 where it promises none."""
    return next((kind for word, kind in KEY_TYPES.items() if f"_{word}_" in f"_{path.name}_"), "ed25519")
