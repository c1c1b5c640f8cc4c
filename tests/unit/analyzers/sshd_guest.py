"""A small guest with a healthy sshd, of three distributions, for the tests of the sshd rules to break."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from guestrepair.analyzers.base import Context, run_analyzer
from guestrepair.analyzers.sshd import ANALYZER
from guestrepair.guest.devices import OperatingSystem
from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import Finding, Inconclusive
from guestrepair.packages.base import PackageDatabase

DEBIAN_BINARY = (
    b"\x7fELF\0/run/sshd\0OpenSSH_9.2p1 Debian-2+deb12u3\0/etc/ssh/sshd_config\0/etc/ssh/ssh_host_rsa_key\0"
)
CENTOS_BINARY = b"\x7fELF\0/var/empty/sshd\0OpenSSH_7.4p1\0/etc/ssh/sshd_config\0libwrap.so.0\0"
ROCKY_BINARY = b"\x7fELF\0/usr/share/empty.sshd\0OpenSSH_8.7p1\0/etc/ssh/sshd_config\0"

DEBIAN_UNIT = """[Unit]
Description=OpenBSD Secure Shell server
[Service]
ExecStartPre=/usr/sbin/sshd -t
ExecStart=/usr/sbin/sshd -D $SSHD_OPTS
RuntimeDirectory=sshd
RuntimeDirectoryMode=0755
[Install]
WantedBy=multi-user.target
Alias=sshd.service
"""
REDHAT_UNIT = """[Unit]
Wants=sshd-keygen.target
[Service]
ExecStart=/usr/sbin/sshd -D $OPTIONS
[Install]
WantedBy=multi-user.target
"""
PASSWD = """root:x:0:0:root:/root:/bin/bash
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
sshd:x:105:65534::/run/sshd:/usr/sbin/nologin
ann:x:1000:1000:Ann:/home/ann:/bin/bash
"""
GROUP = "root:x:0:\nsudo:x:27:ann\nnogroup:x:65534:\nann:x:1000:\n"


@functools.cache
def key_pair(number: int = 0) -> tuple[bytes, bytes]:
    """A private and a public ed25519 key, the same for the same number within a run."""
    key = ed25519.Ed25519PrivateKey.from_private_bytes(bytes([number + 1]) * 32)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return private, public + b" root@guest\n"


def add_host_keys(guest: MemoryGuest, kinds: Sequence[str] = ("rsa", "ecdsa", "ed25519")) -> None:
    """Good host keys; the file names promise three types, what is in them is ed25519 (sshd does not mind)."""
    for number, kind in enumerate(kinds):
        private, public = key_pair(number)
        guest.file(f"/etc/ssh/ssh_host_{kind}_key", private, mode=0o600)
        guest.file(f"/etc/ssh/ssh_host_{kind}_key.pub", public)


def _base(guest: MemoryGuest, binary: bytes) -> MemoryGuest:
    guest.file("/usr/sbin/sshd", binary, mode=0o755)
    for name in ("bash", "sh"):
        guest.file(f"/usr/bin/{name}", b"\x7fELF", mode=0o755)
    guest.file("/usr/sbin/nologin", b"\x7fELF", mode=0o755)
    guest.link("/bin", "usr/bin")
    guest.link("/sbin", "usr/sbin")
    guest.file("/etc/passwd", PASSWD)
    guest.file("/etc/group", GROUP)
    guest.file(
        "/etc/shadow",
        "root:$y$x:19000:0:99999:7:::\nsshd:!:19000::::::\nann:$y$z:19000:0:99999:7:::\n",
        mode=0o640,
    )
    guest.directory("/root", mode=0o700)
    guest.directory("/home/ann", mode=0o755, uid=1000, gid=1000)
    guest.file("/etc/pam.d/sshd", "auth required pam_unix.so\naccount required pam_unix.so\n")
    add_host_keys(guest)
    return guest


def debian() -> MemoryGuest:
    """Debian 12: /run/sshd made by the unit, keys made at installation."""
    guest = _base(MemoryGuest(), DEBIAN_BINARY)
    guest.file("/etc/ssh/sshd_config", "UsePAM yes\nSubsystem sftp /usr/lib/openssh/sftp-server\n")
    guest.file("/usr/lib/openssh/sftp-server", b"\x7fELF", mode=0o755)
    guest.file("/usr/lib/x86_64-linux-gnu/security/pam_unix.so", b"\x7fELF")
    guest.file("/usr/lib/systemd/system/ssh.service", DEBIAN_UNIT)
    guest.link("/lib", "usr/lib")
    guest.link("/etc/systemd/system/multi-user.target.wants/ssh.service", "/lib/systemd/system/ssh.service")
    guest.link("/etc/systemd/system/sshd.service", "/lib/systemd/system/ssh.service")
    guest.directory("/run")
    return guest


def redhat(major: str, binary: bytes, privsep: str) -> MemoryGuest:
    """CentOS 7 or Rocky 9: the directory is packaged, keys are made by units, ssh_keys group."""
    guest = MemoryGuest(
        os=OperatingSystem(
            "centos" if major == "7" else "rocky", major, "", "x86_64", "rpm", "guest", ("rhel",)
        )
    )
    _base(guest, binary)
    guest.directory(privsep, mode=0o711)
    guest.file("/etc/group", GROUP + "ssh_keys:x:998:\nsshd:x:74:\n")
    guest.file("/etc/ssh/sshd_config", "UsePAM yes\nSubsystem sftp /usr/libexec/openssh/sftp-server\n")
    guest.file("/usr/libexec/openssh/sftp-server", b"\x7fELF", mode=0o755)
    guest.file("/usr/lib64/security/pam_unix.so", b"\x7fELF")
    guest.link("/lib64", "usr/lib64")
    guest.file("/usr/lib/systemd/system/sshd.service", REDHAT_UNIT)
    guest.file("/usr/lib/systemd/system/sshd-keygen.target", "[Unit]\nWants=sshd-keygen@rsa.service\n")
    guest.file(
        "/usr/lib/systemd/system/sshd-keygen@.service",
        "[Service]\nType=oneshot\nExecStart=/usr/libexec/openssh/sshd-keygen %i\n",
    )
    guest.link(
        "/etc/systemd/system/multi-user.target.wants/sshd.service", "/usr/lib/systemd/system/sshd.service"
    )
    return guest


def centos7() -> MemoryGuest:
    """CentOS 7 with /var/empty/sshd."""
    return redhat("7", CENTOS_BINARY, "/var/empty/sshd")


def rocky9() -> MemoryGuest:
    """Rocky 9 with /usr/share/empty.sshd."""
    return redhat("9", ROCKY_BINARY, "/usr/share/empty.sshd")


def scan(
    guest: MemoryGuest, *, packages: PackageDatabase | None = None
) -> tuple[list[Finding], list[Inconclusive]]:
    """Run the sshd analyzer."""
    return run_analyzer(ANALYZER, Context(guest=guest, packages=packages))


def findings(guest: MemoryGuest, rule: str = "") -> list[Finding]:
    """The findings of one rule (by its short name), or all of them; nothing may be inconclusive."""
    found, inconclusive = scan(guest)
    assert not inconclusive, inconclusive
    return [f for f in found if not rule or f.rule == f"sshd/{rule}"]


def only(guest: MemoryGuest, rule: str) -> Finding:
    """The one finding, which must be of that rule."""
    found = findings(guest)
    assert [f.rule for f in found] == [f"sshd/{rule}"], found
    return found[0]
