"""dnf on this host, asking the repositories of an rpm guest; see :mod:`guestrepair.packages.dnf_child`.

Sources: dnf.conf(5), "Repo Options", "Repo Variables".
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from guestrepair.errors import FormatError, GuestReadError
from guestrepair.formats.yum_repo import Repository, parse_repositories
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath
from guestrepair.packages import dnf_child
from guestrepair.packages.base import Package
from guestrepair.packages.child import LimitedChild
from guestrepair.packages.sources.package_file import identify

_NETWORK = re.compile(r"(?:https?|ftp)://", re.IGNORECASE)
_BASE_ARCHITECTURES = {"i386": "i386", "i486": "i386", "i586": "i386", "i686": "i386"}
_WHOLE_VERSION = frozenset({"fedora", "opensuse-leap", "amzn", "mageia"})
_LIMIT_BYTES = 1024 * 1024
_REPOSITORIES = (GuestPath("/etc/yum.repos.d"), GuestPath("/etc/zypp/repos.d"))
_VARIABLES = (GuestPath("/etc/yum/vars"), GuestPath("/etc/dnf/vars"))


class DnfClient:
    """Downloads packages with the guest's repositories and keys."""

    def __init__(self, guest: Guest) -> None:
        self.guest = guest

    def download(self, wanted: Package, home: Path) -> Path | str:
        """The package's file, or why there is none; ``home`` is a private directory."""
        place = home / "dnf"
        place.mkdir(exist_ok=True)
        try:
            repositories = list(self._repositories(wanted.architecture))
            keys = self._keys(repositories, place)
        except (GuestReadError, FormatError) as error:
            return f"the guest's repositories cannot be read: {error.message}"
        if not repositories:
            return "the guest has no enabled repositories of the network in /etc/yum.repos.d"
        request = {
            "home": str(place),
            "name": wanted.name,
            "version": wanted.version,
            "arch": wanted.architecture,
            "repositories": [asdict(repository) for repository in repositories],
            "keys": keys,
            # How this host reaches the network is no matter of the guest.
            "proxy": os.environ.get("https_proxy") or os.environ.get("http_proxy") or "",
        }
        answer = _ask(request, place)
        path = answer.get("path")
        if not isinstance(path, str) or not Path(path).is_relative_to(place):
            return _refusal(wanted, answer)
        (found,) = identify([Path(path)], place)
        return found.path if found.package == wanted else f"{found.path.name} is not {wanted.name}"

    def _repositories(self, architecture: str) -> Iterator[Repository]:
        """Only those of the network: a guest must not make dnf read this host's files."""
        variables = self._variables(architecture)
        for directory in _REPOSITORIES:
            for path in self.guest.glob(directory, "*.repo"):
                for found in parse_repositories(self.guest.read(path, limit_bytes=_LIMIT_BYTES), variables):
                    remote = replace(
                        found,
                        baseurl=tuple(url for url in found.baseurl if _NETWORK.match(url)),
                        mirrorlist=found.mirrorlist if _NETWORK.match(found.mirrorlist) else "",
                        metalink=found.metalink if _NETWORK.match(found.metalink) else "",
                    )
                    if remote.baseurl or remote.mirrorlist or remote.metalink:
                        yield remote

    def _variables(self, architecture: str) -> Mapping[str, str]:
        system = self.guest.os
        version = system.version if system.distro in _WHOLE_VERSION else system.version.partition(".")[0]
        base = _BASE_ARCHITECTURES.get(system.arch or architecture, system.arch or architecture)
        values = {"releasever": version, "basearch": base, "arch": architecture}
        for directory in _VARIABLES:
            for path in self.guest.glob(directory, "*"):
                content = self.guest.read(path, limit_bytes=4096).decode("utf-8", "replace")
                values[path.name.lower()] = content.split("\n")[0].strip()
        return values

    def _keys(self, repositories: Sequence[Repository], place: Path) -> list[str]:
        """The keys on the guest's own disk, copied; one that would have to be downloaded is not trusted."""
        names = dict.fromkeys(key for repository in repositories for key in repository.gpgkey)
        copied = []
        for number, name in enumerate(names):
            if not name.startswith("file:///"):
                continue
            content = self.guest.read_if_there(GuestPath(name.removeprefix("file://")))
            if content:
                path = place / f"key-{number}"
                path.write_bytes(content)
                copied.append(str(path))
        return copied


def _ask(request: Mapping[str, Any], home: Path) -> dict[str, Any]:
    with LimitedChild(dnf_child.__file__, home=home, request=json.dumps(request).encode()) as child:
        for line in child.lines():
            try:
                answer = json.loads(line)
            except ValueError:
                break
            if isinstance(answer, dict):
                return answer
        return {"error": child.last_words(), "kind": "tool"}


def _refusal(wanted: Package, answer: Mapping[str, Any]) -> str:
    words, what = str(answer.get("error", "it gave no reason"))[:300], f"{wanted.name} {wanted.version}"
    match answer.get("kind"):
        case "superseded" if words:
            return f"{what} is no longer in them (superseded; they have {words}); an archive may have it"
        case "superseded":
            return f"{what} is not in them"
        case "offline":
            return f"the repositories cannot be reached (offline?): {words}"
        case "signature":
            return f"{what}: {words}"
        case _:
            return f"dnf could not download {what}: {words}"
