"""A small guest with a dpkg database, for the tests of packages."""

from __future__ import annotations

import hashlib

from guestrepair.guest.memory import MemoryGuest

FILES = {
    "/bin/tool": b"program",
    "/usr/bin/other": b"another program",
    "/usr/lib/libx.so.1.2": b"library",
    "/usr/share/doc/tool/README": b"text",
    "/usr/share/tool/data": b"data",
    "/usr/bin/sudo": b"sudo",
}
CONFIG = "/etc/tool.conf"


def md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def deb_guest(*, merged: bool = True) -> MemoryGuest:
    """A healthy guest with one package, ``tool 1.0-1 amd64``."""
    guest = MemoryGuest()
    for name in ("bin", "sbin", "lib"):
        guest.directory(f"/usr/{name}")
        if merged:
            guest.link(f"/{name}", f"usr/{name}")
    for path, content in FILES.items():
        place = f"/usr{path}" if merged and path.startswith("/bin/") else path
        mode = 0o4755 if path == "/usr/bin/sudo" else 0o755 if "/bin/" in path else 0o644
        guest.file(place, content, mode=mode)
    guest.link("/usr/lib/libx.so.1", "libx.so.1.2")
    guest.file(CONFIG, b"edited by the administrator")
    guest.file("/etc/passwd", "root:x:0:0::/root:/bin/sh\n")
    guest.file("/etc/group", "root:x:0:\n")
    guest.directory("/etc/empty.d")
    directories = ["/bin", "/etc", "/usr", "/usr/bin", "/usr/lib", "/usr/share", "/usr/share/doc",
                   "/usr/share/doc/tool", "/usr/share/tool"]  # fmt: skip
    listing = ["/.", *directories, *FILES, "/usr/lib/libx.so.1", CONFIG, "/etc/empty.d"]
    guest.file("/var/lib/dpkg/info/tool.list", "".join(f"{path}\n" for path in listing))
    sums = "".join(f"{md5(content)}  {path[1:]}\n" for path, content in FILES.items())
    guest.file("/var/lib/dpkg/info/tool.md5sums", sums)
    guest.file(
        "/var/lib/dpkg/status",
        "Package: tool\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1.0-1\n"
        f"Conffiles:\n {CONFIG} {md5(b'as shipped')}\n\n"
        "Package: removed\nStatus: deinstall ok config-files\nArchitecture: amd64\nVersion: 1\n\n",
    )
    return guest
