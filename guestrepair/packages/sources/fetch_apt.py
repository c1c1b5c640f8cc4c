"""apt on this host, asking the repositories of a Debian or Ubuntu guest; see :mod:`…sources.apt_place`.

Source: apt-get(8).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from guestrepair.errors import GuestReadError
from guestrepair.guest.view import Guest
from guestrepair.packages.base import Package
from guestrepair.packages.sources.apt_place import prepare, repositories_of
from guestrepair.packages.sources.package_file import identify
from guestrepair.packages.sources.reasons import hosts, reason
from guestrepair.packages.sources.unprivileged import Ran, UnprivilegedError, Workplace


class AptClient:
    """Downloads packages with the guest's repositories and keys; the indexes are read once."""

    def __init__(self, guest: Guest, say: Callable[[str], None]) -> None:
        self.guest = guest
        self._say = say
        self._place: Workplace | None = None
        self._refusal = ""

    def download(self, wanted: Package, workdir: Path) -> Path | str:
        """The package's file in ``workdir``, a private directory, or why there is none."""
        if shutil.which("apt-get") is None:
            return "apt-get is not on this host (package apt)"
        if self._place is None and not self._refusal:
            self._refusal = self._prepare()
        if self._place is None or self._refusal:
            return self._refusal
        architecture = "" if wanted.architecture == "all" else f":{wanted.architecture}"
        ran = _apt(self._place, "download", f"{wanted.name}{architecture}={wanted.version}")
        for found in identify(self._place.collect(".deb", workdir), workdir):
            if found.package == wanted:
                return found.path
        if "was not found" in ran.errors or "Unable to locate" in ran.errors:
            return f"{wanted.name} {wanted.version} is no longer in them (superseded); snapshots may"
        return f"apt-get could not download {wanted.name} {wanted.version}: {_why(ran)}"

    def _prepare(self) -> str:
        """Make apt's place and read the indexes; the answer is what went wrong, or ""."""
        try:
            repositories = repositories_of(self.guest)
            self._place = Workplace()
            count = prepare(self._place, self.guest, repositories)
        except GuestReadError as error:
            return f"the guest's sources cannot be read: {error.message}"
        except UnprivilegedError as error:
            return f"{error.message}; {error.hint}" if error.hint else error.message
        if not count:
            left = f"; left out: {repositories.left_out}" if repositories.left_out else ""
            return f"the guest has no usable repositories of http or https (or no keyrings) in /etc/apt{left}"
        self._say(f"--fetch: asking the guest's repositories at {hosts(repositories.hosts)}")
        for name in ("lists/partial", "archives/partial"):
            self._place.own_folder(name)
        ran = _apt(self._place, "update")
        if not any("_Packages" in name for name in self._place.names("lists")):
            return f"the repositories cannot be reached (offline?): {_why(ran)}"
        return ""


def _apt(place: Workplace, *arguments: str) -> Ran:
    return place.run(["env", f"APT_CONFIG={place.directory / 'apt.conf'}", "apt-get", "-q", *arguments])


def _why(ran: Ran) -> str:
    return ran.stopped or reason(ran.errors + ran.output)
