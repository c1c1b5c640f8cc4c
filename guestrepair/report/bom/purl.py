"""Package URLs of distributions' packages.

Source: the package-url specification, ``PURL-TYPES`` deb, rpm, apk, alpm; the qualifier ``upstream`` is what
vulnerability scanners look for the source package in.
"""

from __future__ import annotations

from urllib.parse import quote

from guestrepair.guest.devices import OperatingSystem
from guestrepair.inventory.model import InstalledPackage
from guestrepair.report.escape import valid_unicode

_TYPES = {"deb": "deb", "rpm": "rpm", "apk": "apk", "pacman": "alpm"}
_LOWER = frozenset({"apk", "alpm", "deb"})
"""Types whose names are written in lower case."""


def purl(package: InstalledPackage, system: OperatingSystem) -> str:
    """The package's URL; "" where there is none, for want of a name or of a type."""
    kind = _TYPES.get(system.package_format, "")
    name = package.name.strip().strip("/")
    if not kind or not name:
        return ""
    version, epoch = package.version, ""
    if kind == "rpm" and ":" in version:
        epoch, _, version = version.partition(":")
    distro = "-".join(word for word in (system.distro, system.version) if word)
    qualifiers = {
        "arch": package.architecture,
        "distro": distro,
        "epoch": epoch,
        "upstream": _upstream(package),
    }
    words = "&".join(f"{key}={_quoted(v)}" for key, v in sorted(qualifiers.items()) if v.strip())
    if kind in _LOWER:
        name = name.lower()
    namespace = f"{_quoted(system.distro.lower())}/" if system.distro.strip() else ""
    return (
        f"pkg:{kind}/{namespace}{_quoted(name)}"
        + (f"@{_quoted(version)}" if version.strip() else "")
        + (f"?{words}" if words else "")
    )


def _upstream(package: InstalledPackage) -> str:
    """dpkg writes NAME (VERSION) where the version is another: ``NAME@VERSION``."""
    name, _, version = package.source.partition(" (")
    return f"{name}@{version.rstrip(')')}" if version else name


def _quoted(text: str) -> str:
    return quote(valid_unicode(text), safe=":")
