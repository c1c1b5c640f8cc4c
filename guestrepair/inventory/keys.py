"""Keys that let somebody in, by their fingerprints."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable

from guestrepair.formats.authorized_keys import KeyOption
from guestrepair.formats.ssh_key import PublicKey
from guestrepair.model import GuestPath
from guestrepair.system.accounts import Account
from guestrepair.system.guest_system import System
from guestrepair.system.sshd.authorized_keys import DEFAULT_FILES, KeyFile, read_key_file
from guestrepair.system.sshd.server import NEWEST_RELEASE


def key_places(system: System, account: Account) -> tuple[GuestPath, ...]:
    """The files where the account's keys are, or would be by sshd's defaults, each once."""
    usual = tuple(account.home / name for name in DEFAULT_FILES) if str(account.home) != "/" else ()
    configured = (path for sshd in system.sshds for path in sshd.authorized_keys_files(account))
    return tuple(dict.fromkeys((*configured, *usual)))


def key_file(system: System, path: GuestPath) -> KeyFile | None:
    """What lies there as the guest's sshd reads it; None where it finds no keys there.

    Raises:
        GuestReadError: it cannot be read.
    """
    release = NEWEST_RELEASE if system.sshd is None else system.sshd.server.release
    return read_key_file(system.view, path, release)


def option_text(options: Iterable[KeyOption]) -> str:
    """The options of a line of authorized_keys, as they are written there."""
    return " ".join(f'{o.name}="{o.value}"' if o.value else o.name for o in options)


def fingerprint(key: PublicKey) -> str:
    """The key's fingerprint as ssh-keygen(1) writes it."""
    digest = hashlib.sha256(key.blob).digest()
    return f"SHA256:{base64.b64encode(digest).decode().rstrip('=')}"
