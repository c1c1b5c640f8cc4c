"""The packages by which this host gets what it lacks, in its own distribution's names.

Debian's names are tried by the tests; the others are those of the distributions' own package lists.
"""

from __future__ import annotations

import enum
import os
import platform
import shlex
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from guestrepair.errors import BindingError

OS_RELEASE = Path("/etc/os-release")
DOCTOR = "guestrepair doctor says what else this host lacks"
_MAX_BYTES = 64 * 1024


class Family(enum.StrEnum):
    """Distributions that name packages alike."""

    DEBIAN = "debian"
    UBUNTU = "ubuntu"
    FEDORA = "fedora"
    ENTERPRISE = "enterprise"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Names:
    """The package that brings something, by family; what is "" there is called as in the family before."""

    debian: str
    fedora: str
    ubuntu: str = ""
    enterprise: str = ""

    def of(self, family: Family) -> str:
        """The name there; "" for a family that is not known."""
        names = {
            Family.DEBIAN: self.debian,
            Family.UBUNTU: self.ubuntu or self.debian,
            Family.FEDORA: self.fedora,
            Family.ENTERPRISE: self.enterprise or self.fedora,
        }
        return names.get(family, "")


_X86 = platform.machine() in {"x86_64", "i686"}
PACKAGES: Mapping[str, Names] = {
    "guestfs": Names("python3-guestfs", "python3-libguestfs"),
    "nbd": Names("python3-libnbd", "python3-libnbd"),
    "parted": Names("python3-parted", "python3-pyparted"),
    "rpm": Names("python3-rpm", "python3-rpm"),
    "click": Names("python3-click", "python3-click"),
    "tabulate": Names("python3-tabulate", "python3-tabulate"),
    "lz4": Names("python3-lz4", "python3-lz4"),
    "cryptography": Names("python3-cryptography", "python3-cryptography"),
    "yaml": Names("python3-yaml", "python3-pyyaml"),
    "crc32c": Names("python3-crc32c", "python3-crc32c"),
    "backports": Names("python3-zstandard", "python3-zstandard"),  # it does for backports.zstd (unpackers.py)
    "dnf": Names("python3-dnf", "python3-dnf"),
    "apt-get": Names("apt", "apt"),
    "qemu-system": Names(
        "qemu-system-x86" if _X86 else "qemu-system-arm",
        "qemu-system-x86-core" if _X86 else "qemu-system-aarch64-core",
        enterprise="qemu-kvm-core",
    ),
    "qemu-img": Names("qemu-utils", "qemu-img"),
    "qemu-nbd": Names("qemu-utils", "qemu-img"),
    "supermin": Names("supermin", "supermin"),
    "appliance": Names("libguestfs-tools", "libguestfs"),
    "kernel": Names(
        f"linux-image-cloud-{'amd64' if _X86 else 'arm64'}", "kernel-core", ubuntu="linux-image-virtual"
    ),
    "xfs": Names("libguestfs-xfs", "libguestfs-xfs"),
    "ext4": Names("e2fsprogs", "e2fsprogs"),
    "btrfs": Names("btrfs-progs", "btrfs-progs"),
    "vfat": Names("dosfstools", "dosfstools"),
    "lvm": Names("lvm2", "lvm2"),
    "luks": Names("cryptsetup-bin", "cryptsetup"),
    "md": Names("mdadm", "mdadm"),
    "gpt": Names("gdisk", "gdisk"),
    "sleuthkit": Names("sleuthkit", "sleuthkit"),
    "ovmf": Names("ovmf", "edk2-ovmf"),
    "ssh-keygen": Names("openssh-client", "openssh-clients"),
    "ssh": Names("openssh-client", "openssh-clients"),
    "openssl": Names("openssl", "openssl"),
    "util-linux": Names("util-linux", "util-linux"),
    "nbdkit": Names("nbdkit", "nbdkit"),
}
"""What guestrepair uses of the host, and what brings it."""


def os_release(path: Path = OS_RELEASE) -> Mapping[str, str]:
    """The fields of os-release(5); empty where there is none that can be read."""
    try:
        with path.open("rb") as file:
            lines = file.read(_MAX_BYTES).decode(errors="replace").splitlines()
    except OSError:
        return {}
    fields: dict[str, str] = {}
    for line in lines:
        name, equals, value = line.strip().partition("=")
        if not equals or name.startswith("#"):
            continue
        try:
            fields[name] = "".join(shlex.split(value))
        except ValueError:
            continue  # a quote that does not end
    return fields


def family_of(fields: Mapping[str, str]) -> Family:
    """The family of a distribution by ID and ID_LIKE, its own name first."""
    for word in (fields.get("ID", ""), *fields.get("ID_LIKE", "").split()):
        if word in {"rhel", "centos"}:
            return Family.ENTERPRISE
        if word in tuple(Family) and word != Family.OTHER:
            return Family(word)
    return Family.OTHER


@cache
def family() -> Family:
    """The family of this host's distribution."""
    return family_of(os_release())


def install_command(things: Iterable[str], on: Family | None = None) -> str:
    """The command that installs the packages of these things (keys of :data:`PACKAGES`).

    On a distribution that is not known, the packages by Debian's and Fedora's names.
    """
    wanted, here = list(dict.fromkeys(things)), family() if on is None else on
    if here is Family.OTHER:
        debian, fedora = (_names(wanted, f) for f in (Family.DEBIAN, Family.FEDORA))
        return f"install {debian}" + (f" (Fedora: {fedora})" if fedora != debian else "")
    client = "apt-get install" if here in {Family.DEBIAN, Family.UBUNTU} else "dnf install"
    return f"{'' if os.geteuid() == 0 else 'sudo '}{client} {_names(wanted, here)}"


def _names(things: Iterable[str], family: Family) -> str:
    return " ".join(dict.fromkeys(PACKAGES[thing].of(family) for thing in things))


def hint(*things: str) -> str:
    """How to get what is missing, and where to look for more of it: the hint of an error."""
    return f"{install_command(things)}; {DOCTOR}"


def binding_hint(name: str) -> str:
    """The same for a Python binding, which this interpreter may not see though it is installed."""
    return f"{binding_command(name)}; {DOCTOR}"


def binding_command(name: str) -> str:
    """What brings a Python binding to this interpreter."""
    command = install_command((name,))
    if sees_system_packages():
        return command
    return f"{command}, and make the virtual environment {sys.prefix} with --system-site-packages"


_FROM_PYPI = {
    "backports": "backports.zstd", "click": "click", "crc32c": "crc32c", "cryptography": "cryptography",
    "lz4": "lz4", "tabulate": "tabulate", "yaml": "pyyaml",
}  # fmt: skip


def import_error(error: ImportError) -> BindingError | None:
    """What to say of a module that cannot be imported; None for one that guestrepair does not depend on.

    Modules of guestrepair itself are none of these: those are always there.
    """
    name = (error.name or "").partition(".")[0]
    if name in _FROM_PYPI:
        return BindingError(f"Python cannot import {name}: {error}", hint=f"{module_command(name)}; {DOCTOR}")
    if name in PACKAGES:
        return BindingError(f"Python cannot import {name}: {error}", hint=binding_hint(name))
    return None


def module_command(module: str) -> str:
    """What brings a module that comes with guestrepair from the Python Package Index.

    For the system's own Python that is the distribution's package, where there is one (PEP 668).
    """
    if module_packages(module):
        return install_command((module,))
    return f"{shlex.quote(sys.executable)} -m pip install {_FROM_PYPI[module]}"


def module_packages(module: str) -> tuple[str, ...]:
    """The key of :data:`PACKAGES` of such a module, where it is the distribution's business to bring it."""
    return (module,) if sys.prefix == sys.base_prefix and module in PACKAGES else ()


def sees_system_packages() -> bool:
    """Whether this interpreter finds the modules of the system's packages."""
    if sys.prefix == sys.base_prefix:
        return True
    try:
        text = (Path(sys.prefix) / "pyvenv.cfg").read_text(errors="replace")
    except OSError:
        return False
    settings = (line.partition("=")[::2] for line in text.lower().splitlines())
    return any(k.strip() == "include-system-site-packages" and v.strip() == "true" for k, v in settings)
