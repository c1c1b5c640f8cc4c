"""Host keys: whether sshd can load at least one, and whether others can read them.

sshd ignores a private key of its own that group or others may read, write or
execute (authfile.c, sshkey_perm_ok()), logs "UNPROTECTED PRIVATE KEY FILE", and
exits with "no hostkeys available" when none is left (sshd.c, main()).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from guestrepair.analyzers.base import Rule
from guestrepair.analyzers.sshd.inconclusive import inconclusive, unmounted
from guestrepair.guest.view import Stat
from guestrepair.model import (
    Change,
    Effect,
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
    Subject,
    WriteFile,
)
from guestrepair.system.fact import Unreadable
from guestrepair.system.sshd.host_keys import HostKey
from guestrepair.system.sshd.sshd import Sshd

HOST_KEY_UNSAFE = Rule(
    name="sshd/host-key-unsafe",
    summary="a private host key can be read by others, or does not belong to root",
    severities=(Severity.ERROR, Severity.WARNING),
    effect=Effect.STOPS_LOGIN,
    safeties=(Safety.SAFE,),
    what="A private host key of root's has permissions for group or others, or belongs to another user."
    " 0640 root:ssh_keys is right where that group exists and OpenSSH is older than 9.",
    why='sshd ignores such a key ("UNPROTECTED PRIVATE KEY FILE!"); with no other left it exits with'
    ' "no hostkeys available". An error then, a warning while another key is usable.',
    repair="root:root 0600 (root:ssh_keys 0640 where that is the distribution's).",
    example="chmod 666 /etc/ssh/ssh_host_*_key",
    sources=("OpenSSH authfile.c, sshkey_perm_ok()", "sshd(8), FILES"),
)

HOST_KEY_MISSING = Rule(
    name="sshd/host-key-missing",
    summary="no host key is there and nothing makes one at boot",
    severities=(Severity.ERROR, Severity.NOTE, Severity.WARNING),
    effect=Effect.STOPS_LOGIN,
    safeties=(Safety.REVIEW, Safety.MANUAL),
    what="None of the host keys that sshd_config (or the release's defaults) names is there, and no"
    " sshd-keygen unit, init script or cloud-init makes them at the next boot. A note where only some of"
    " those named are missing.",
    why='sshd exits with "no hostkeys available": nobody can log in.',
    repair="Generate new keys. Review: every client that knows this machine will be warned of a changed key."
    " Never for a golden image, whose copies would all have them: there something has to make them at boot.",
    example="an image prepared as a template whose first-boot service was removed",
    sources=("OpenSSH sshd.c, main()", "ssh-keygen(1), -A", "cloud-init, cc_ssh"),
)

HOST_KEY_CORRUPT = Rule(
    name="sshd/host-key-corrupt",
    summary="a host key is empty, cut short, or does not match its public half",
    severities=(Severity.ERROR, Severity.WARNING),
    effect=Effect.STOPS_LOGIN,
    safeties=(Safety.REVIEW, Safety.SAFE, Safety.MANUAL),
    what="A private host key cannot be loaded: empty, cut short, damaged, protected by a passphrase; or"
    " the .pub file beside it is damaged or belongs to another key.",
    why='sshd logs "Unable to load host key" and does without it, or exits when none is left.',
    repair="Generate the key again (review). A wrong .pub file alone is written again from the private key,"
    " which stays (safe).",
    example="a host key of 0 bytes after a full disk",
    sources=("OpenSSH sshkey.c, sshkey_parse_private2()", "OpenSSH PROTOCOL.key"),
)

HOST_KEY_REFUSED = Rule(
    name="sshd/host-key-refused",
    summary="the only host keys are of a kind or size that this sshd refuses",
    severities=(Severity.ERROR, Severity.WARNING),
    effect=Effect.STOPS_LOGIN,
    safeties=(Safety.REVIEW, Safety.MANUAL),
    what="Every host key that can be loaded is refused: DSA from OpenSSH 7.0 on unless asked for, and from"
    " 10.0 on altogether; RSA below 1024 bits, or below RequiredRSASize, as crypto policies set it; a kind"
    " that HostKeyAlgorithms leaves out.",
    why='sshd exits with "no hostkeys available", or no client can agree with it on a host key.',
    repair="New keys: in the default places where nothing lies, else in the places of the refused ones."
    " Review: every client that knows this machine will be warned of a changed key.",
    example="HostKey /etc/ssh/ssh_host_dsa_key alone, after an upgrade to OpenSSH 10",
    sources=("OpenSSH release notes 7.0, 9.8, 10.0", "sshd_config(5), RequiredRSASize, HostKeyAlgorithms"),
)

SSH_KEYS_GROUP = "ssh_keys"
"""Group of Red Hat's ssh-keysign: 0640 root:ssh_keys is allowed by a patch there, up to OpenSSH 8."""

PRIVATE_MODE = 0o600
KEY_TYPES = {"rsa": "rsa", "ecdsa": "ecdsa", "ed25519": "ed25519", "dsa": "rsa"}
MISMATCH_IGNORED_SINCE = (8, 4)
"""From here on sshd derives the public half itself when the .pub file does not match."""


def check_host_keys(sshd: Sshd) -> Iterator[Finding | Inconclusive]:
    """host-key-unsafe, host-key-missing, host-key-corrupt."""
    for named in sshd.host_key_files:
        hidden = unmounted(sshd, named.path, f"the host key {named.path}")
        if hidden is not None:
            yield hidden
            return
    usable = any(_usable(sshd, key) for key in sshd.host_keys)
    for key in sshd.host_keys:
        if key.stat is None:
            continue
        if key.damage:
            yield _corrupt(sshd, key, key.stat)  # its owner and mode go with it
            continue
        if _is_ignored(sshd, key.stat) or key.stat.uid != 0:
            yield _unsafe(sshd, key, key.stat, none_left=not usable)
        yield from _public_half(sshd, key)
    yield from _missing(sshd)
    yield from _refused(sshd)


def _refused(sshd: Sshd) -> Iterator[Finding]:
    """Only keys that could be loaded otherwise: the others have their own rules."""
    loaded = [key for key in sshd.host_keys if _usable(sshd, key)]
    if sshd.uses_key_agent or any(key.key is None or key.key.public is None for key in loaded):
        return
    reasons = [
        (key, sshd.key_policy.refusal_of_host_key(key.key.public))
        for key in loaded
        if key.key is not None and key.key.public is not None
    ]
    refused = [(key, reason) for key, reason in reasons if reason]
    if not refused or len(refused) < len(loaded):
        return
    if sshd.key_generator and any(key.stat is None for key in sshd.host_keys):
        return  # another one is made at boot
    key, reason = refused[0]
    yield HOST_KEY_REFUSED.finding(
        Subject.of_path(key.named.path),
        f"host key {key.named.path} is {reason}, and no host key is left that {sshd.title} takes:"
        " nobody can connect",
        evidence=tuple(
            Evidence(str(each.path), why, "a host key that this sshd takes") for each, why in refused
        ),
        repair=_replacement(sshd, [each for each, _ in refused]),
    )


def _replacement(sshd: Sshd, refused: list[HostKey]) -> Repair:
    """Keys of good kinds: in the usual places that are free, else in the places of the refused ones."""
    named = bool(sshd.settings.every("hostkey"))
    missing = [key for key in sshd.host_keys if key.stat is None and "_dsa_" not in key.path.name]
    return _generate(sshd, missing if missing and not named else refused)


def _usable(sshd: Sshd, key: HostKey) -> bool:
    """True when sshd would load it."""
    return key.stat is not None and not key.damage and not _is_ignored(sshd, key.stat)


def _is_ignored(sshd: Sshd, found: Stat) -> bool:
    """True for a key of root's that sshd ignores since others can read it."""
    return found.uid == 0 and _readable_by_others(sshd, found)


def _readable_by_others(sshd: Sshd, found: Stat) -> bool:
    bits = found.permissions & 0o077
    return bool(bits) and not (bits == 0o040 and _is_keys_group(sshd, found.gid))


def _is_keys_group(sshd: Sshd, gid: int) -> bool:
    group = sshd.accounts.group.get(SSH_KEYS_GROUP)
    return group is not None and group.gid == gid and sshd.server.release < (9, 0)


def _unsafe(sshd: Sshd, key: HostKey, found: Stat, *, none_left: bool) -> Finding:
    ignored = _is_ignored(sshd, found)
    keys_group = _is_keys_group(sshd, found.gid)
    mode, gid = (0o640, found.gid) if keys_group else (PRIVATE_MODE, 0)
    changes: list[Change] = []
    if (found.uid, found.gid) != (0, gid):
        changes.append(SetOwner(path=key.path, before=(found.uid, found.gid), after=(0, gid)))
    if found.permissions != mode:
        changes.append(SetMode(path=key.path, before=found.permissions, after=mode))
    observed = f"uid {found.uid}, gid {found.gid}, mode {found.permissions:04o}"
    if ignored:
        reason = f'mode {found.permissions:04o}, so sshd ignores it: "UNPROTECTED PRIVATE KEY FILE!"'
    else:
        reason = f"it belongs to uid {found.uid}, who can read and replace it"
    end = (
        ', and no usable host key is left: "no hostkeys available -- exiting."'
        if none_left and ignored
        else ""
    )
    return HOST_KEY_UNSAFE.finding(
        Subject.of_path(key.named.path),
        f"host key {key.named.path}: {reason}{end}",
        severity=Severity.ERROR if none_left and ignored else Severity.WARNING,
        evidence=(Evidence(str(key.path), observed, f"uid 0, gid {gid}, mode {mode:04o}"),),
        repair=Repair(f"set {key.path} to uid 0, gid {gid}, mode {mode:04o}", Safety.SAFE, tuple(changes)),
    )


def _corrupt(sshd: Sshd, key: HostKey, found: Stat) -> Finding:
    is_empty = found.is_file and not found.size_bytes
    made_anew = sshd.key_generator if is_empty and sshd.server.release >= (8, 0) else ""
    path, size = key.named.path, f"{found.size_bytes} bytes"
    message = f'host key {path} cannot be loaded: {key.damage} ("Unable to load host key: {path}")'
    if made_anew:
        message += f"; {made_anew} makes a new one at the next boot"
    return HOST_KEY_CORRUPT.finding(
        Subject.of_path(path),
        message,
        severity=Severity.WARNING if made_anew else Severity.ERROR,
        evidence=(Evidence(str(key.path), f"{size}: {key.damage}", "a private key that sshd can load"),),
        repair=_generate(sshd, [key]),
    )


def _public_half(sshd: Sshd, key: HostKey) -> Iterator[Finding | Inconclusive]:
    half = key.public
    if isinstance(half, Unreadable):
        yield inconclusive(f"public half of a host key: {half.error.message}")
        return
    if half is None or key.key is None or key.key.public is None:
        return
    is_other = not half.problem and half.blob != key.key.public.blob
    if not half.problem and not is_other:
        return
    problem = half.problem or "it is not the public half of this private key"
    path, name = half.path, key.named.path
    ignored = not is_other or sshd.server.release >= MISMATCH_IGNORED_SINCE
    yield HOST_KEY_CORRUPT.finding(
        Subject.of_path(path),
        f'{path}: {problem} ("Public key for {name} does not match private key")',
        severity=Severity.WARNING if ignored else Severity.ERROR,
        evidence=(Evidence(str(path), problem, f"the public half of {name}"),),
        repair=Repair(
            f"write the public half of {name} again; the key itself stays",
            Safety.SAFE,
            (WriteFile(path=half.real, before=half.data, after=key.key.public.line()),),
        ),
    )


def _missing(sshd: Sshd) -> Iterator[Finding]:
    keys = sshd.host_keys
    missing = [key for key in keys if key.stat is None]
    if not missing or sshd.key_generator or sshd.uses_key_agent:
        return
    if len(missing) == len(keys):
        first, *others = missing
        names = ", ".join(str(key.named.path) for key in missing)
        yield HOST_KEY_MISSING.finding(
            Subject.of_path(first.named.path),
            f'sshd will not start: "no hostkeys available -- exiting." (none of {names} is there,'
            " and nothing makes them at boot)",
            evidence=(
                Evidence(names, "not there", "at least one private host key"),
                Evidence("units, init scripts, cloud-init", "none makes host keys", ""),
            ),
            repair=_generate(sshd, missing),
            folded=tuple(str(key.named.path) for key in others),
        )
        return
    for key in missing:
        if key.named.file:
            yield _named_but_missing(key)


def _named_but_missing(key: HostKey) -> Finding:
    return HOST_KEY_MISSING.finding(
        Subject.of_path(key.named.path),
        f"{key.named.place} names the host key {key.named.path}, which is not there;"
        " sshd goes on with the others",
        severity=Severity.NOTE,
        evidence=(Evidence(str(key.named.path), "not there", "a private host key"),),
    )


def _generate(sshd: Sshd, keys: list[HostKey]) -> Repair:
    group = sshd.accounts.group.get(SSH_KEYS_GROUP)
    shared = group is not None and sshd.server.release < (9, 0) and sshd.server.family == "rhel"
    mode, gid = (0o640, group.gid) if shared and group is not None else (PRIVATE_MODE, 0)
    changes = tuple(
        GenerateHostKey(path=key.path, key_type=key_type(key.named.path), mode=mode, gid=gid) for key in keys
    )
    names = ", ".join(str(key.named.path) for key in keys)
    return Repair(f"generate {names} again (clients will see a changed host key)", Safety.REVIEW, changes)


def without_new_keys(findings: Sequence[Finding]) -> list[Finding]:
    """The findings of a golden image: a key that is made here would be the key of every copy."""
    words = Repair(
        "have the first boot make keys: a unit that runs ssh-keygen -A, or cloud-init", Safety.MANUAL
    )
    return [
        replace(finding, repair=words)
        if finding.repair is not None
        and any(isinstance(change, GenerateHostKey) for change in finding.repair.changes)
        else finding
        for finding in findings
    ]


def key_type(path: GuestPath) -> str:
    """The type that a host key file's name promises; ed25519 where it promises none."""
    return next((kind for word, kind in KEY_TYPES.items() if f"_{word}_" in f"_{path.name}_"), "ed25519")
