"""dnf on this host, asking the repositories of an rpm guest; see :mod:`guestrepair.packages.dnf_child`.

Sources: dnf.conf(5), "Repo Options", "Repo Variables".
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from guestrepair.errors import FormatError, GuestReadError
from guestrepair.formats.web_address import web_address
from guestrepair.formats.yum_repo import Repository, parse_repositories
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath
from guestrepair.packages import dnf_child
from guestrepair.packages.base import Package
from guestrepair.packages.sources.package_file import identify
from guestrepair.packages.sources.reasons import hosts, reason
from guestrepair.packages.sources.unprivileged import UnprivilegedError, Workplace

MAX_REPOSITORIES = 64
_PYTHON = "/usr/bin/python3"
_SCRIPT = "dnf_child.py"
_MAX_KEYS = 64
_MAX_VARIABLES = 256
_VERSION = re.compile(r"[A-Za-z0-9.+_~^:-]{1,80}")
_SIGNATURE = {
    "keys": "the guest has none of the keys that its repositories are signed with",
    "tool": "the signature cannot be checked: rpmkeys is not on this host (package rpm)",
    "import": "the signature cannot be checked: a key of the guest is none",
    "bad": "the signature is not one of the guest's keys",
}
_BASE_ARCHITECTURES = {"i386": "i386", "i486": "i386", "i586": "i386", "i686": "i386"}
_WHOLE_VERSION = frozenset({"fedora", "opensuse-leap", "amzn", "mageia"})
_LIMIT_BYTES = 1024 * 1024
_REPOSITORIES = (GuestPath("/etc/yum.repos.d"), GuestPath("/etc/zypp/repos.d"))
_VARIABLES = (GuestPath("/etc/yum/vars"), GuestPath("/etc/dnf/vars"))


class DnfClient:
    """Downloads packages with the guest's repositories and keys; the indexes are read once."""

    def __init__(self, guest: Guest, say: Callable[[str], None]) -> None:
        self.guest = guest
        self._say = say
        self._place: Workplace | None = None
        self._keys: list[str] = []
        self._said: set[str] = set()

    def download(self, wanted: Package, workdir: Path) -> Path | str:
        """The package's file in ``workdir``, a private directory, or why there is none."""
        try:
            repositories = list(self._repositories(wanted.architecture))[:MAX_REPOSITORIES]
            if not repositories:
                return "the guest has no enabled repositories of the network in /etc/yum.repos.d"
            place = self._place or self._prepare(repositories)
        except (GuestReadError, FormatError) as error:
            return f"the guest's repositories cannot be read: {error.message}"
        except UnprivilegedError as error:
            return f"{error.message}; {error.hint}" if error.hint else error.message
        self._say_hosts(repositories)
        request = {
            "name": wanted.name,
            "version": wanted.version,
            "arch": wanted.architecture,
            "repositories": [asdict(repository) for repository in repositories],
            "keys": self._keys,
        }
        answer = _ask(place, request)
        if not isinstance(answer.get("path"), str):
            return _refusal(wanted, answer)
        fetched = place.collect(".rpm", workdir)
        found = next((f for f in identify(fetched, workdir) if f.package == wanted), None)
        return found.path if found else f"what they have as {wanted.name} {wanted.version} is another package"

    def _prepare(self, repositories: Sequence[Repository]) -> Workplace:
        place = Workplace()
        place.write(_SCRIPT, Path(dnf_child.__file__).read_bytes())
        self._keys = [str(path) for path in self._copied_keys(repositories, place)]
        self._place = place
        return place

    def _say_hosts(self, repositories: Sequence[Repository]) -> None:
        """Say which hosts are asked, where that was not said yet."""
        urls = [u for r in repositories for u in (*r.baseurl, r.mirrorlist, r.metalink)]
        asked = {address.host for url in urls if (address := web_address(url))} - self._said
        self._said |= asked
        if asked:
            lists = any(not r.baseurl for r in repositories)
            others = " and the mirrors that they name" if lists else ""
            self._say(f"--fetch: asking the guest's repositories at {hosts(asked)}{others}")

    def _repositories(self, architecture: str) -> Iterator[Repository]:
        """Only those of the network: a guest must not make dnf read this host's files."""
        variables = self._variables(architecture)
        for directory in _REPOSITORIES:
            for path in self.guest.glob(directory, "*.repo"):
                for found in parse_repositories(self.guest.read(path, limit_bytes=_LIMIT_BYTES), variables):
                    remote = replace(
                        found,
                        baseurl=tuple(filter(None, map(_of_the_web, found.baseurl))),
                        mirrorlist=_of_the_web(found.mirrorlist),
                        metalink=_of_the_web(found.metalink),
                    )
                    if remote.baseurl or remote.mirrorlist or remote.metalink:
                        yield remote

    def _variables(self, architecture: str) -> Mapping[str, str]:
        system = self.guest.os
        version = system.version if system.distro in _WHOLE_VERSION else system.version.partition(".")[0]
        base = _BASE_ARCHITECTURES.get(system.arch or architecture, system.arch or architecture)
        values = {"releasever": version, "basearch": base, "arch": architecture}
        for directory in _VARIABLES:
            for path in self.guest.glob(directory, "*")[:_MAX_VARIABLES]:
                content = self.guest.read(path, limit_bytes=4096).decode("utf-8", "replace")
                values[path.name.lower()] = content.split("\n")[0].strip()[:256]
        return values

    def _copied_keys(self, repositories: Sequence[Repository], place: Workplace) -> Iterator[Path]:
        """The keys on the guest's own disk, copied; one that would have to be downloaded is not trusted."""
        names = dict.fromkeys(key for repository in repositories for key in repository.gpgkey)
        local = [name.removeprefix("file://") for name in names if name.startswith("file:///")]
        for number, name in enumerate(local[:_MAX_KEYS]):
            content = self.guest.read_if_there(GuestPath(name), limit_bytes=_LIMIT_BYTES)
            if content:
                yield place.write(f"keys/key-{number}", content)


def _of_the_web(url: str) -> str:
    """The address, where it is one of http or https; else ""."""
    address = web_address(url)
    return "" if address is None else address.url


def _ask(place: Workplace, request: Mapping[str, Any]) -> dict[str, Any]:
    """What the child answers; its libraries are the system's, and so is the Python that has them."""
    python = _PYTHON if Path(_PYTHON).exists() else sys.executable
    ran = place.run([python, "-I", str(place.directory / _SCRIPT)], request=json.dumps(request).encode())
    try:
        answer = json.loads(ran.output)
    except ValueError:
        answer = None
    if ran.stopped or not isinstance(answer, dict):
        return {"error": ran.errors, "kind": "tool", "stopped": ran.stopped}
    return answer


def _refusal(wanted: Package, answer: Mapping[str, Any]) -> str:
    """Why there is no package, in words of ours: what the child quotes may be a repository's."""
    words, what = str(answer.get("error", "")), f"{wanted.name} {wanted.version}"
    why = str(answer.get("stopped") or reason(words))
    match answer.get("kind"):
        case "superseded":
            given = answer.get("versions")
            listed = [v for v in given if _VERSION.fullmatch(str(v))] if isinstance(given, list) else []
            if listed:
                have = ", ".join(listed[:8])
                return f"{what} is no longer in them (superseded; they have {have}); an archive may have it"
            return f"{what} is not in them"
        case "offline":
            return f"the repositories cannot be reached (offline?): {why}"
        case "signature":
            return f"{what}: {_SIGNATURE.get(words, _SIGNATURE['bad'])}"
        case "library":
            return "dnf's library is not on this host (package python3-dnf)"
        case _:
            return f"dnf could not download {what}: {why}"
