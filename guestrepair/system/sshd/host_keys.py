"""Host keys as they lie in the guest: which files, whether they are keys, and their public halves.

Sources: sshd_config(5), HostKey; OpenSSH sshkey.c, PROTOCOL.key.
"""

from __future__ import annotations

from dataclasses import dataclass

from guestrepair.errors import FormatError
from guestrepair.formats.ssh_key import MAX_KEY_BYTES, PrivateKey, parse_private_key, parse_public_key
from guestrepair.guest.view import Guest, Stat
from guestrepair.model import GuestPath
from guestrepair.system.fact import Unreadable, attempt
from guestrepair.system.files import guest_path
from guestrepair.system.sshd.server import Release

DSA_DEFAULT_UNTIL = (7, 8)
ECDSA_SINCE, ED25519_SINCE = (5, 7), (6, 5)


@dataclass(frozen=True, slots=True)
class NamedKey:
    """A host key that sshd tries, and the file and line that name it (None and 0: a default)."""

    path: GuestPath
    file: str = ""
    line: int = 0

    @property
    def place(self) -> str:
        """``FILE:LINE``, empty for a default."""
        return f"{self.file}:{self.line}" if self.file else ""


@dataclass(frozen=True, slots=True)
class PublicHalf:
    """The ``.pub`` file beside a key: by its name, where it really lies, its bytes, and the key in it.

    ``problem`` says why it holds none that can be read ("": it does, and ``blob`` is that key).
    """

    path: GuestPath
    real: GuestPath
    data: bytes
    blob: bytes = b""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class HostKey:
    """One host key file: where it really lies, what lies there (None: nothing), and the key in it.

    ``damage`` says why sshd cannot load it, its mode and owner left aside ("": it could).
    ``public`` is None where there is no public half, or no key that it could belong to.
    """

    named: NamedKey
    path: GuestPath
    stat: Stat | None = None
    damage: str = ""
    key: PrivateKey | None = None
    public: PublicHalf | Unreadable | None = None


def default_keys(release: Release) -> tuple[NamedKey, ...]:
    """What this release tries where the configuration names none."""
    kinds = ["rsa"]
    kinds += ["dsa"] if release < DSA_DEFAULT_UNTIL else []
    kinds += ["ecdsa"] if release >= ECDSA_SINCE else []
    kinds += ["ed25519"] if release >= ED25519_SINCE else []
    return tuple(NamedKey(guest_path(f"etc/ssh/ssh_host_{kind}_key")) for kind in kinds)


def read_host_key(guest: Guest, named: NamedKey) -> HostKey:
    """One host key as it lies there.

    Raises:
        GuestReadError: it is there and cannot be read.
    """
    real = guest.resolve(named.path)
    found = None if real is None else guest.lstat(real)
    if real is None or found is None:
        return HostKey(named, named.path)
    if not found.is_file:
        return HostKey(named, real, found, "not a regular file")
    try:
        data = guest.read(real, limit_bytes=MAX_KEY_BYTES) if found.size_bytes <= MAX_KEY_BYTES else b"\0"
        key = parse_private_key(data)
    except FormatError as error:
        return HostKey(named, real, found, error.message)
    if key.encrypted:
        return HostKey(named, real, found, "protected by a passphrase, which sshd cannot ask for", key)
    public = attempt(lambda: _public_half(guest, real)) if key.public is not None else None
    return HostKey(named, real, found, "", key, public)


def _public_half(guest: Guest, private: GuestPath) -> PublicHalf | None:
    path = private.with_name(private.name + ".pub")
    real = guest.resolve(path)
    if real is None or not guest.is_file(real):
        return None
    data = guest.read(real, limit_bytes=MAX_KEY_BYTES)
    try:
        return PublicHalf(path, real, data, parse_public_key(data).blob)
    except FormatError as error:
        return PublicHalf(path, real, data, problem=error.message)
