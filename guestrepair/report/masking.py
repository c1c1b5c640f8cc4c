"""Secrets within the diffs of a repair, masked where they are shown; what is written is not touched.

Only files that are known to hold secrets are masked: elsewhere a word behind ``passwd:`` is the very thing
that a repair changes (nsswitch.conf).
"""

from __future__ import annotations

import re
from collections.abc import Callable

from guestrepair.events.secrets import MASK, masked
from guestrepair.model import EditFile, WriteFile
from guestrepair.report.diff import unified_diff

_ACCOUNTS = re.compile(r"/etc/(?:security/opasswd|(?:g?shadow|passwd|group)(?:[-.+~][^/]*)?)\Z")
_HASH = re.compile(r"\A([^:\n]*:[!*]*)(?!x:)([^:!*\n][^:\n]*)")
"""The second field of a line: "x" stands for another file; what only locks the account is left to be seen."""
_OPASSWD = re.compile(r"\A([^:\n]*:[^:\n]*:[^:\n]*:)(.+)")
_HOLD_SECRETS = (
    "/boot/grub", "/boot/efi/EFI/", "/etc/NetworkManager/system-connections/", "/etc/cloud/",
    "/etc/default/grub", "/etc/fstab", "/etc/grub.d/", "/etc/netplan/",
    "/etc/sysconfig/network-scripts/keys-", "/etc/systemd/network/", "/etc/wpa_supplicant/",
    "/root/anaconda-ks.cfg", "/root/original-ks.cfg", "/var/lib/cloud/",
)  # fmt: skip
_FURTHER = (
    re.compile(r"()(\bgrub\.pbkdf2\.sha\d{1,3}\.[\w.]{8,})"),
    re.compile(
        r"(?i)(\b(?:psk|wep[-_]?key\d?|private[-_]?key|preshared[-_]?key|KEY\d?)\"?\s{0,4}[=:]\s{0,4}[\"']?)"
        r"([^\s\"']+)"
    ),
)


def shown_diff(change: EditFile | WriteFile) -> str:
    """The unified diff of a text change for a report: hashes, passwords and keys of known files masked."""
    path, diff = str(change.path), unified_diff(change)
    if _mask_of(path) is None:
        return diff
    lines = enumerate(diff.split("\n"))
    # Its two names and the heads of its hunks are left as they are.
    return "\n".join(
        line if number < 2 or line.startswith("@@ ") else line[:1] + shown_line(path, line[1:])
        for number, line in lines
    )


def shown_line(path: str, line: str) -> str:
    """A line of a guest's file as a report may have it."""
    mask = _mask_of(path)
    return line if mask is None else mask(line)


def _mask_of(path: str) -> Callable[[str], str] | None:
    """What masks a line of this file; None where nothing in it is known to be a secret."""
    if _ACCOUNTS.match(path):
        return _without_old_hashes if path.endswith("opasswd") else _without_hash
    return _without_secrets if path.startswith(_HOLD_SECRETS) else None


def _without_hash(line: str) -> str:
    return _HASH.sub(rf"\g<1>{MASK}", line, count=1)


def _without_old_hashes(line: str) -> str:
    return _OPASSWD.sub(rf"\g<1>{MASK}", line, count=1)


def _without_secrets(line: str) -> str:
    line = masked(line)
    for pattern in _FURTHER:
        line = pattern.sub(rf"\g<1>{MASK}", line)
    return line
