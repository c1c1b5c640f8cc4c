"""Who the guest is: distribution, version, architecture, package format, host name; nothing of it runs."""

from __future__ import annotations

import re
import struct

from guestrepair.errors import GuestReadError
from guestrepair.formats.os_release import parse_os_release
from guestrepair.guest.devices import OperatingSystem
from guestrepair.guest.package_formats import format_of, format_there
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath

# e_machine of elf(5), in uname -m's words.
_MACHINES = {
    3: "i686",
    21: "ppc64",
    22: "s390x",
    40: "armv7l",
    62: "x86_64",
    183: "aarch64",
    243: "riscv64",
    258: "loongarch64",
}
_PROGRAMS = (
    "/usr/bin/bash", "/bin/sh", "/usr/lib/systemd/systemd", "/sbin/init", "/usr/sbin/init",
    "/bin/busybox", "/usr/bin/env", "/usr/sbin/sshd", "/usr/bin/ls",
)  # fmt: skip
_OLD_RELEASE = re.compile(r"^(?P<product>(?P<name>[A-Za-z ]+?) (?:Linux )?release (?P<version>[0-9.]+).*)$")
_MAX_TEXT_BYTES = 64 * 1024
_OLD_NAMES = {"centos": "centos", "red hat": "rhel", "fedora": "fedora", "scientific": "scientific"}


def identify_system(guest: Guest) -> OperatingSystem:
    """Work out who a mounted guest is; what cannot be worked out is empty."""
    unread: list[str] = []
    release = _release(guest, unread)
    distro = release.get("ID", "")
    like = tuple(release.get("ID_LIKE", "").split())
    return OperatingSystem(
        distro=distro,
        version=release.get("VERSION_ID", ""),
        product=release.get("PRETTY_NAME", ""),
        arch=_architecture(guest),
        package_format=format_there(guest) or format_of((distro, *like)),
        hostname=_hostname(guest),
        id_like=like,
        codename=release.get("VERSION_CODENAME", ""),
        support_end=release.get("SUPPORT_END", ""),
        unread=tuple(unread),
    )


def _text(guest: Guest, path: str, unread: list[str]) -> bytes:
    try:
        return guest.read_if_there(GuestPath(path), limit_bytes=_MAX_TEXT_BYTES) or b""
    except GuestReadError as error:
        unread.append(error.message)
        return b""


def _release(guest: Guest, unread: list[str]) -> dict[str, str]:
    for path in ("/etc/os-release", "/usr/lib/os-release"):
        found = parse_os_release(_text(guest, path, unread))
        if found.get("ID"):
            return found
    first = _text(guest, "/etc/redhat-release", unread).decode(errors="replace").partition("\n")[0]
    match = _OLD_RELEASE.match(first)
    if match is not None:
        name = next((i for word, i in _OLD_NAMES.items() if match["name"].lower().startswith(word)), "rhel")
        return {"ID": name, "VERSION_ID": match["version"], "PRETTY_NAME": match["product"]}
    debian = _text(guest, "/etc/debian_version", unread).decode(errors="replace").strip()
    if debian:
        return {"ID": "debian", "VERSION_ID": debian, "PRETTY_NAME": f"Debian {debian}"}
    return {}


def _architecture(guest: Guest) -> str:
    for program in _PROGRAMS:
        try:
            real = guest.resolve(GuestPath(program))
            head = b"" if real is None else guest.read_range(real, 0, 20)
        except GuestReadError:
            continue
        if head[:4] == b"\x7fELF" and len(head) == 20:
            order = ">" if head[5] == 2 else "<"
            machine = struct.unpack_from(f"{order}H", head, 18)[0]
            if machine == 21 and order == "<":
                return "ppc64le"
            return _MACHINES.get(machine, f"elf-machine-{machine}")
    return ""


def _hostname(guest: Guest) -> str:
    unread: list[str] = []  # no verdict hangs on its name
    lines = _text(guest, "/etc/hostname", unread).decode(errors="replace").splitlines()
    for line in lines:
        if line.strip() and not line.startswith("#"):
            return line.strip()[:255]
    for line in _text(guest, "/etc/sysconfig/network", unread).decode(errors="replace").splitlines():
        if line.startswith("HOSTNAME="):
            return line.partition("=")[2].strip("\"' ")[:255]
    return ""
