"""PAM's part of a login: /etc/pam.d/sshd, the files that it includes, and the modules that they name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from guestrepair.formats.pam import PamModule, parse_pam
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath

DIRECTORIES = tuple(
    GuestPath(p) for p in ("/etc/pam.d", "/usr/lib/pam.d", "/usr/etc/pam.d", "/usr/share/pam.d")
)
"""Where PAM looks for a service, the administrator's first (pam.conf(5); vendor directories differ)."""

MAX_DEPTH = 10
SECURITY_PARENTS = tuple(GuestPath(p) for p in ("/usr/lib64", "/lib64", "/usr/lib", "/lib"))


@dataclass(frozen=True, slots=True)
class PamCall:
    """One line that calls a module: the file that holds it, and the line."""

    file: GuestPath
    module: PamModule


@dataclass(frozen=True, slots=True)
class PamStack:
    """All calls that a service makes, and the files named that are not there (with who names them)."""

    calls: tuple[PamCall, ...]
    missing_files: tuple[tuple[GuestPath, str], ...]
    malformed: tuple[tuple[GuestPath, int], ...] = ()
    """File and number of each line that PAM cannot read, and takes for a module that always fails."""


def find_service(guest: Guest, name: str) -> GuestPath | None:
    """The file of a service, or None."""
    if "/" in name:
        path = GuestPath(name)
        return path if path.is_absolute() and guest.is_file(path) else None
    return next((d / name for d in DIRECTORIES if guest.is_file(d / name)), None)


def read_stack(guest: Guest, service: str) -> PamStack:
    """Follow a service through everything that it includes; each file once.

    Raises:
        GuestReadError: one of the files cannot be read.
    """
    calls: list[PamCall] = []
    missing: list[tuple[GuestPath, str]] = []
    malformed: list[tuple[GuestPath, int]] = []
    seen: set[GuestPath] = set()

    def follow(name: str, named_by: str, depth: int) -> None:
        path = find_service(guest, name)
        if path is None:
            missing.append((GuestPath(name) if name.startswith("/") else DIRECTORIES[0] / name, named_by))
            return
        if path in seen or depth > MAX_DEPTH:
            return
        seen.add(path)
        parsed = parse_pam(guest.read(path))
        malformed.extend((path, number) for number in parsed.malformed)
        calls.extend(PamCall(path, module) for module in parsed.modules)
        for include in parsed.includes:
            follow(include.file, f"{path}:{include.line}", depth + 1)

    follow(service, "", 0)
    return PamStack(tuple(calls), tuple(missing), tuple(malformed))


def security_directories(guest: Guest) -> tuple[GuestPath, ...]:
    """Directories of PAM modules that this guest has."""
    found: dict[GuestPath, None] = {}
    for parent in SECURITY_PARENTS:
        for path in (parent / "security", *(d / "security" for d in _triplets(guest, parent))):
            if guest.is_directory(path):
                found.setdefault(path)
    return tuple(found)


def _triplets(guest: Guest, parent: GuestPath) -> Iterator[GuestPath]:
    yield from guest.glob(parent, "*-linux-gnu*")
    yield from guest.glob(parent, "*-linux-musl*")


def find_module(guest: Guest, name: str, directories: tuple[GuestPath, ...]) -> GuestPath | None:
    """The file of a module, absolute or by its bare name (``$ISA`` stands for nothing here), or None."""
    plain = name.replace("/$ISA", "")
    candidates = [GuestPath(plain)] if plain.startswith("/") else [d / plain for d in directories]
    return next((p for p in candidates if guest.is_file(p)), None)
