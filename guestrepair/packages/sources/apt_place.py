"""apt's private place: the guest's repositories and keys, written again from their parsed fields.

Nothing of the guest's text is copied but keys, so no option, quote or scheme of it reaches apt, and
nothing of this host's configuration is read (its hooks would run) but how it reaches the network.
Sources: apt.conf(5), "The APT_CONFIG environment variable"; sources.list(5); apt-secure(8).
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from guestrepair.errors import GuestReadError
from guestrepair.formats.apt_sources import (
    AptRepository,
    AptSources,
    SignedBy,
    parse_list,
    parse_mirror_list,
    parse_sources,
)
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath
from guestrepair.packages.sources.unprivileged import Workplace

MAX_REPOSITORIES = 64
_SOURCES_BYTES = 1024**2
_KEY_BYTES = 16 * 1024**2
_MAX_KEYS = 200
_MIRRORS = 3

_KEYRINGS = ("/etc/apt/trusted.gpg.d", "/etc/apt/keyrings", "/usr/share/keyrings")
_KEY_SUFFIXES = ("*.gpg", "*.asc", "*.pgp")
_TRUSTED_FILE = GuestPath("/etc/apt/trusted.gpg")
_ARCHITECTURES = {
    "x86_64": "amd64", "i386": "i386", "i686": "i386", "aarch64": "arm64", "armv7l": "armhf",
    "ppc64le": "ppc64el", "s390x": "s390x", "riscv64": "riscv64",
}  # fmt: skip
_ARCHITECTURE = re.compile(r"[a-z0-9][a-z0-9-]*")
_OF_THE_HOST = re.compile(
    r"(Acquire::(?:ForceIPv[46]|https?::(?:Proxy|Proxy-Auto-Detect|CAInfo)(?:::[A-Za-z0-9.-]+)?)) "
    r'("[^"\\\n]*";)',
    re.IGNORECASE,
)
_CERTIFICATES = re.compile(r'::CAInfo(?:::\S+)? "(/[^"]+)"', re.IGNORECASE)
"""The one of those settings that names a file, which a client must be able to open."""

_REFUSED_METHODS = (
    "cdrom", "copy", "file", "ftp", "mirror", "mirror+copy", "mirror+file", "mirror+ftp", "mirror+http",
    "mirror+https", "rsh", "ssh", "tor", "tor+http", "tor+https",
)  # fmt: skip


@dataclass(slots=True)
class Repositories:
    """What may be asked, the hosts of it as they may be shown, and how many repositories are left out."""

    found: list[AptRepository] = field(default_factory=list)
    left_out: int = 0

    @property
    def hosts(self) -> set[str]:
        """The hosts that will be contacted."""
        return {found.address.host for found in self.found if found.address is not None}


def repositories_of(guest: Guest) -> Repositories:
    """The guest's repositories of the network.

    Raises:
        GuestReadError: a file of them cannot be read.
    """
    answer = Repositories()
    for path in _source_files(guest):
        data = guest.read_if_there(path, limit_bytes=_SOURCES_BYTES)
        parsed = AptSources() if data is None else _parse(path, data)
        answer.left_out += len(parsed.left_out)
        for found in parsed.repositories:
            answer.found += _with_address(guest, found)
    answer.left_out += max(0, len(answer.found) - MAX_REPOSITORIES)
    del answer.found[MAX_REPOSITORIES:]
    return answer


def _parse(path: GuestPath, data: bytes) -> AptSources:
    return parse_sources(data) if path.suffix == ".sources" else parse_list(data)


def _source_files(guest: Guest) -> Iterator[GuestPath]:
    yield GuestPath("/etc/apt/sources.list")
    for pattern in ("*.list", "*.sources"):
        yield from guest.glob(GuestPath("/etc/apt/sources.list.d"), pattern)


def _with_address(guest: Guest, found: AptRepository) -> list[AptRepository]:
    """The repository itself; or the first mirrors out of the guest's own list of them."""
    if found.address is not None:
        return [found]
    data = guest.read_if_there(GuestPath(found.mirror_file), limit_bytes=_SOURCES_BYTES) or b""
    return [replace(found, address=a, mirror_file="") for a in parse_mirror_list(data)[:_MIRRORS]]


def prepare(place: Workplace, guest: Guest, repositories: Repositories) -> int:
    """Write apt's configuration, keys and repositories; the answer is how many repositories it may ask.

    Raises:
        GuestReadError: a key of the guest cannot be read.
    """
    keys = _copy_keys(place, guest)
    stanzas = [s for n, r in enumerate(repositories.found) if (s := _stanza(place, n, r, keys))]
    place.write("etc/sources.list.d/guest.sources", "\n".join(stanzas).encode())
    for name in ("etc/trusted.gpg.d", "etc/preferences.d", "etc/apt.conf.d"):
        place.folder(name)
    place.write("status", b"")
    place.write("apt.conf", _configuration(place, _architectures(guest)).encode())
    return len(stanzas) if keys or any(r.signed_by.key for r in repositories.found) else 0


def _copy_keys(place: Workplace, guest: Guest) -> Mapping[str, Path]:
    """The guest's keyrings by their paths there; those that count for every repository are apt's own, too."""
    copied: dict[str, Path] = {}
    for path in _key_files(guest):
        data = guest.read_if_there(path, limit_bytes=_KEY_BYTES)
        if data is None or len(copied) >= _MAX_KEYS:
            continue
        suffix = ".asc" if path.suffix == ".asc" else ".gpg"
        trusted = path == _TRUSTED_FILE or str(path.parent) == _KEYRINGS[0]
        folder = "etc/trusted.gpg.d" if trusted else "keyrings"
        copied[str(path)] = place.write(f"{folder}/key-{len(copied)}{suffix}", data)
    return copied


def _key_files(guest: Guest) -> Iterator[GuestPath]:
    yield _TRUSTED_FILE
    for directory in _KEYRINGS:
        for pattern in _KEY_SUFFIXES:
            yield from guest.glob(GuestPath(directory), pattern)


def _stanza(place: Workplace, number: int, found: AptRepository, keys: Mapping[str, Path]) -> str:
    """The repository as apt reads it; "" when a key that it must be signed with is not there."""
    signed_by = _signed_by(place, number, found.signed_by, keys)
    if found.address is None or (found.signed_by and not signed_by):
        return ""
    fields = {
        "Types": "deb",
        "URIs": found.address.url,
        "Suites": found.suite,
        "Components": " ".join(found.components),
        "Architectures": " ".join(found.architectures),
        "Signed-By": ",".join(signed_by),
        "Targets": "Packages",
        "PDiffs": "no",
    }
    return "".join(f"{name}: {value}\n" for name, value in fields.items() if value)


def _signed_by(place: Workplace, number: int, wanted: SignedBy, keys: Mapping[str, Path]) -> list[str]:
    if wanted.key:
        return [str(place.write(f"keyrings/inline-{number}.asc", wanted.key.encode()))]
    return [str(keys[name]) for name in wanted.files if name in keys] + list(wanted.fingerprints)


def _architectures(guest: Guest) -> list[str]:
    """The guest's architectures, its own first."""
    try:
        data = guest.read_if_there(GuestPath("/var/lib/dpkg/arch"), limit_bytes=4096) or b""
    except GuestReadError:
        data = b""
    listed = [word for word in data.decode("ascii", "replace").split() if _ARCHITECTURE.fullmatch(word)]
    return listed[:8] or [_ARCHITECTURES.get(guest.os.arch, "amd64")]


def _configuration(place: Workplace, architectures: list[str]) -> str:
    ours, work = place.directory, place.work
    settings = {
        "Dir": "/",
        "Dir::Etc": ours / "etc",
        "Dir::Etc::main": "none",
        "Dir::Etc::parts": "apt.conf.d",
        "Dir::Etc::sourcelist": "none",
        "Dir::Etc::sourceparts": "sources.list.d",
        "Dir::Etc::trusted": "none",
        "Dir::Etc::trustedparts": "trusted.gpg.d",
        "Dir::Etc::netrc": "none",
        "Dir::Etc::netrcparts": "none.d",
        "Dir::State": work,
        "Dir::State::lists": "lists",
        "Dir::State::status": ours / "status",
        "Dir::Cache": work,
        "Dir::Cache::archives": "archives",
        "Dir::Log": work,
        "APT::Architecture": architectures[0],
        "APT::Get::AllowUnauthenticated": "false",
        # The version that is wanted is an exact one: an index that is old serves as well as a new one.
        "Acquire::Check-Valid-Until": "false",
        "Acquire::Check-Date": "false",
        "Acquire::AllowInsecureRepositories": "false",
        "Acquire::AllowWeakRepositories": "false",
        "Acquire::AllowDowngradeToInsecureRepositories": "false",
        "Acquire::AllowReleaseInfoChange": "true",
        "Acquire::Languages": "none",
        "Acquire::Retries": "2",
        "Acquire::http::Timeout": "30",
        "Acquire::https::Timeout": "30",
        **{f"Dir::Bin::Methods::{name}": "false" for name in _REFUSED_METHODS},
    }
    lines = [f'{name} "{value}";\n' for name, value in settings.items()]
    lines += [f'APT::Architectures {{ "{name}"; }};\n' for name in architectures]
    network = _network_of_this_host()
    place.also_read += [Path(m[1]) for line in network if (m := _CERTIFICATES.search(line))]
    return "".join([*network, *lines])


def _network_of_this_host() -> list[str]:
    """The settings of this host's apt that say how the network is reached: that is no matter of the guest."""
    try:
        done = subprocess.run(
            ["apt-config", "dump", "--format", '%F "%v";%n'], stdin=subprocess.DEVNULL, capture_output=True,
            timeout=30, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return []
    lines = done.stdout.decode("utf-8", "replace").splitlines()
    return [f"{m[1]} {m[2]}\n" for line in lines if (m := _OF_THE_HOST.fullmatch(line)) and m[2] != '"";']
