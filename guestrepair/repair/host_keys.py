"""New ssh host keys for a guest, made on this host by ssh-keygen(1): nothing of the guest runs."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from guestrepair.confine.cage import USERS, Cage
from guestrepair.confine.process import run_caged
from guestrepair.disk.temporary import temporary_directory
from guestrepair.errors import RepairError
from guestrepair.host_packages import hint

_TYPES = frozenset({"rsa", "ecdsa", "ed25519"})
_SECONDS = 60


def generate_host_key(key_type: str, hostname: str) -> tuple[bytes, bytes]:
    """A fresh key pair: private half (OpenSSH format, no passphrase) and public half.

    Raises:
        RepairError: an unknown type, or ssh-keygen is not there or fails.
        ConfinementError: this host cannot keep it from its other files.
    """
    if key_type not in _TYPES:
        raise RepairError(f"no host key of type {key_type!r} is made")
    comment = "root@" + "".join(c for c in hostname if c.isalnum() or c in "-.")[:64]
    with temporary_directory() as directory:
        path = directory / "key"
        program = shutil.which("ssh-keygen") or "ssh-keygen"
        command = [program, "-q", "-t", key_type, "-N", "", "-C", comment, "-f", str(path)]
        try:
            cage = Cage(read=USERS, write=(directory,), run=(Path(program),))
            run_caged(command, cage=cage, timeout_seconds=_SECONDS).check_returncode()
        except (OSError, subprocess.SubprocessError) as error:
            raise RepairError(
                "ssh-keygen on this host does not make a key", hint=hint("ssh-keygen")
            ) from error
        return path.read_bytes(), path.with_suffix(".pub").read_bytes()
