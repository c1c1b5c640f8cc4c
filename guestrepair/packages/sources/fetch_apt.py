"""apt on this host, asking the repositories of a Debian or Ubuntu guest.

It works in a private directory with the guest's sources and keyrings.
Sources: apt-get(8), apt.conf(5), sources.list(5).
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from guestrepair.errors import GuestReadError
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath
from guestrepair.packages.base import Package
from guestrepair.packages.sources.package_file import identify

_SECONDS = 900
_SIGNED_BY = re.compile(r"(signed-by\s*[=:]\s*)(/[^\s\],]+)", re.IGNORECASE)
_DIRECTORIES = (
    "etc/sources.list.d",
    "etc/trusted.gpg.d",
    "etc/preferences.d",
    "keyrings",
    "lists/partial",
    "archives/partial",
    "download",
)
_LOCAL = re.compile(r"\b(?:file|copy|cdrom|rsh|ssh|store|mirror\+file)\s*:", re.IGNORECASE)
_KEYRINGS = ("/etc/apt/trusted.gpg.d", "/etc/apt/keyrings", "/usr/share/keyrings")


class AptClient:
    """Downloads packages with the guest's sources and keyrings."""

    def __init__(self, guest: Guest) -> None:
        self.guest = guest
        self._prepared: dict[Path, str] = {}

    def download(self, wanted: Package, workdir: Path) -> Path | str:
        """The package's file, or why there is none; ``workdir`` is a private directory."""
        if shutil.which("apt-get") is None:
            return "apt-get is not on this host (package apt)"
        home = workdir / "apt"
        if home not in self._prepared:
            self._prepared[home] = self._prepare(home)
        if self._prepared[home]:
            return self._prepared[home]
        architecture = "" if wanted.architecture == "all" else f":{wanted.architecture}"
        target = home / "download"
        before = set(target.iterdir())
        said = _apt(home, ["download", f"{wanted.name}{architecture}={wanted.version}"], cwd=target)
        new = [path for path in target.iterdir() if path not in before]
        for found in identify(new, workdir):
            if found.package == wanted:
                return found.path
        if "was not found" in said or "Unable to locate" in said:
            return f"{wanted.name} {wanted.version} is no longer in them (superseded); snapshots may"
        return f"apt-get could not download {wanted.name} {wanted.version}: {_last_error(said)}"

    def _prepare(self, home: Path) -> str:
        """Make apt's private directory and read the indexes; the answer is what went wrong, or ""."""
        for part in _DIRECTORIES:
            (home / part).mkdir(parents=True, exist_ok=True)
        (home / "status").touch()
        try:
            count = self._copy_keyrings(home) and self._copy_sources(home)
        except GuestReadError as error:
            return f"the guest's sources cannot be read: {error.message}"
        if not count:
            return "the guest has no usable repositories (or no keyrings) in /etc/apt"
        said = _apt(home, ["update"], cwd=home)
        if not any((home / "lists").glob("*_Packages*")):
            return f"the repositories cannot be reached (offline?): {_last_error(said)}"
        return ""

    def _copy_sources(self, home: Path) -> int:
        paths = [GuestPath("/etc/apt/sources.list")]
        for pattern in ("*.list", "*.sources"):
            paths += self.guest.glob(GuestPath("/etc/apt/sources.list.d"), pattern)
        count = 0
        for number, path in enumerate(paths):
            data = self.guest.read_if_there(path)
            if not data:
                continue
            # Only repositories of the network: a guest must not make apt read this host's files.
            lines = [line for line in data.decode("utf-8", "replace").splitlines() if not _LOCAL.search(line)]
            text = _SIGNED_BY.sub(lambda m: m[1] + str(_keyring(home, m[2])), "\n".join(lines))
            (home / "etc/sources.list.d" / f"guest-{number}{path.suffix}").write_text(text + "\n")
            count += 1
        return count

    def _copy_keyrings(self, home: Path) -> int:
        count = 0
        for directory in _KEYRINGS:
            for pattern in ("*.gpg", "*.asc", "*.pgp"):
                for path in self.guest.glob(GuestPath(directory), pattern):
                    data = self.guest.read(path)
                    _keyring(home, str(path)).write_bytes(data)
                    if directory.endswith("trusted.gpg.d"):
                        (home / "etc/trusted.gpg.d" / f"key-{count}{path.suffix}").write_bytes(data)
                    count += 1
        return count


def _keyring(home: Path, guest_path: str) -> Path:
    """Where the copy of a guest's keyring lies; its name holds no separator that the guest chose."""
    return home / "keyrings" / re.sub(r"[^A-Za-z0-9.]", "_", guest_path)


def _apt(home: Path, arguments: Sequence[str], *, cwd: Path) -> str:
    """Run apt-get with everything in the private directory; the answer is all that it said."""
    settings = {
        "Dir::Etc": home / "etc",
        "Dir::Etc::Parts": home / "none",
        "Dir::Etc::Trusted": home / "none",
        "Dir::Etc::TrustedParts": home / "etc/trusted.gpg.d",
        "Dir::State": home,
        "Dir::State::Lists": home / "lists",
        "Dir::State::status": home / "status",
        "Dir::Cache": home,
        "Dir::Cache::archives": home / "archives",
        "APT::Sandbox::User": "root",
        "Acquire::Retries": "2",
        "Acquire::AllowInsecureRepositories": "false",
        "APT::Get::AllowUnauthenticated": "false",
    }
    options = [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]
    for proxy in ("Acquire::http::Proxy", "Acquire::https::Proxy"):
        value = _host_setting(proxy)
        options += ["-o", f"{proxy}={value}"] if value else []
    try:
        done = subprocess.run(
            ["apt-get", "-q", *options, *arguments],
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"E: {error}"
    return (done.stdout + done.stderr).decode("utf-8", "replace")


def _host_setting(name: str) -> str:
    """One setting of this host's apt: how it reaches the network is no matter of the guest."""
    done = subprocess.run(["apt-config", "shell", "value", name], capture_output=True, check=False)
    found = re.search(r"value='([^']*)'", done.stdout.decode("utf-8", "replace"))
    return found[1] if found else ""


def _last_error(said: str) -> str:
    errors = [line for line in said.splitlines() if line.startswith(("E:", "Err:", "W:"))]
    return errors[-1][:200] if errors else "it gave no reason"
