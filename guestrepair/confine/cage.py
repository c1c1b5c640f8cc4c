"""What a process that looks at hostile bytes may open: named by whoever starts it, and nothing else."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from guestrepair.confine import landlock

_PROGRAMS = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_LIBRARY_SETTINGS = (
    "/etc/ld.so.cache",
    "/etc/ld.so.preload",
    "/etc/localtime",
    "/etc/alternatives",
    "/etc/gnutls",
    "/etc/crypto-policies",
    "/etc/ssl/openssl.cnf",
    "/etc/pki/tls/openssl.cnf",
)
"""What programs and libraries are found by and read at their start; none of it is a secret."""

_KERNEL = (
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/version",
    "/proc/filesystems",
    "/proc/sys",
    "/sys/devices",
    "/sys/dev",
    "/sys/block",
    "/sys/class/block",
    "/sys/kernel/mm",
    "/sys/fs/cgroup",
)
"""What the kernel says about the machine: processors, memory, disks' limits."""

RPM = tuple(map(Path, ("/etc/rpm", "/etc/rpmrc")))
"""The settings of this host's rpm, which its library cannot do without."""

USERS = tuple(map(Path, ("/etc/passwd", "/etc/group", "/etc/nsswitch.conf")))
"""For programs that must know the name of who runs them."""

_NAMES_AND_CERTIFICATES = (
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/host.conf",
    "/etc/nsswitch.conf",
    "/etc/gai.conf",
    "/etc/services",
    "/run/systemd/resolve",
    "/run/nscd",
    "/etc/ssl/certs",
    "/etc/ssl/cert.pem",
    "/etc/ca-certificates",
    "/etc/pki/tls/certs",
    "/etc/pki/tls/cert.pem",
    "/etc/pki/ca-trust",
)
"""How this host finds others by their names, and whom it trusts: certificates alone, no keys."""

_HARMLESS_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cage:
    """``read`` and ``write`` name files, block devices, or directories with all beneath them.

    What may be written may be read, too. Programs and libraries of this host (below /usr) can always be
    read and run; ``run`` names programs that lie elsewhere. ``machine`` adds what a virtual machine needs:
    KVM. ``network`` allows TCP, and lets host names and certificates be looked up.
    """

    read: tuple[Path, ...] = ()
    write: tuple[Path, ...] = ()
    run: tuple[Path, ...] = ()
    machine: bool = False
    network: bool = False

    def rules(self) -> list[landlock.Rule]:
        """Each path with its rights, links resolved."""
        programs = [*_PROGRAMS, *_python(), *map(os.path.realpath, self.run)]
        settings = [*_LIBRARY_SETTINGS, *(_NAMES_AND_CERTIFICATES if self.network else ())]
        harmless = [*_HARMLESS_DEVICES, *(("/dev/kvm",) if self.machine else ())]
        return [
            *((path, landlock.RUN) for path in programs),
            *((path, landlock.READ) for path in (*settings, *_KERNEL)),
            # Where one is a link, a new root has to hold both it and what it leads to.
            *((os.path.realpath(path), landlock.READ) for path in settings),
            *((path, landlock.WRITE) for path in harmless),
            *((os.path.realpath(path), landlock.READ) for path in self.read),
            *((os.path.realpath(path), landlock.WRITE) for path in self.write),
        ]


def _python() -> list[str]:
    """Where this interpreter and its modules lie, for readers that are written in Python."""
    here = str(Path(__file__).resolve().parents[1])
    return [sys.prefix, sys.base_prefix, here]
