"""What the sshd rules know about a guest: its server, its accounts, its units; each read once.

A part that cannot be read raises GuestReadError in the rule that asks for it,
and in that rule alone: the others go on.
"""

from __future__ import annotations

from functools import cached_property

from guestrepair.analyzers.base import Context
from guestrepair.analyzers.sshd.config_source import GuestSource, config_path
from guestrepair.analyzers.sshd.membership import Membership
from guestrepair.analyzers.sshd.pam import PamCall, PamStack, find_module, read_stack, security_directories
from guestrepair.analyzers.sshd.server import Server
from guestrepair.analyzers.sshd.units import VENDOR_DIRECTORIES, LoadedUnit, load_unit, tmpfiles_lines
from guestrepair.errors import FormatError, GuestReadError
from guestrepair.formats.passwd import (
    AccountFile,
    GroupEntry,
    PasswdEntry,
    ShadowEntry,
    parse_group,
    parse_passwd,
    parse_shadow,
)
from guestrepair.formats.sshd_config.parse import Config, parse
from guestrepair.formats.sshd_config.settings import Settings
from guestrepair.formats.tmpfiles import TmpfilesLine
from guestrepair.model import GuestPath, Inconclusive, PackagedKind

PRIVSEP_MANDATORY_SINCE = (7, 5)
DSA_DEFAULT_UNTIL = (7, 8)
SERVICES = ("ssh.service", "sshd.service")
"""The service by its names on Debian and elsewhere; one is often an alias of the other."""


def guest_path(text: str) -> GuestPath:
    """An absolute path that a file of the guest names; one without a leading slash is taken from the root.

    Two leading slashes are one here: pathlib would keep them as a root of their own.
    """
    return GuestPath("/" + text.lstrip("/"))


class SshdFacts:
    """Facts about one guest's sshd, gathered when they are asked for."""

    def __init__(self, context: Context, server: Server) -> None:
        self.context = context
        self.guest = context.guest
        self.server = server

    def inconclusive(self, reason: str) -> Inconclusive:
        """What one of these rules says when it could not look."""
        return Inconclusive("sshd", reason)

    @cached_property
    def passwd(self) -> AccountFile[PasswdEntry]:
        """/etc/passwd, empty when it is not there."""
        return parse_passwd(self.guest.read_if_there(GuestPath("/etc/passwd")) or b"")

    @cached_property
    def shadow(self) -> AccountFile[ShadowEntry]:
        """/etc/shadow, empty when it is not there."""
        return parse_shadow(self.guest.read_if_there(GuestPath("/etc/shadow")) or b"")

    @cached_property
    def group(self) -> AccountFile[GroupEntry]:
        """/etc/group, empty when it is not there."""
        return parse_group(self.guest.read_if_there(GuestPath("/etc/group")) or b"")

    @cached_property
    def membership(self) -> Membership:
        """Who is in which group."""
        return Membership(self.passwd.entries, self.group.entries)

    @cached_property
    def tmpfiles(self) -> tuple[tuple[GuestPath, TmpfilesLine], ...]:
        """Lines of tmpfiles.d in force at boot."""
        return tmpfiles_lines(self.guest)

    @cached_property
    def services(self) -> tuple[LoadedUnit, ...]:
        """The sshd services that exist, as systemd sees them (masked ones too)."""
        loaded = (load_unit(self.guest, name) for name in SERVICES)
        return tuple(unit for unit in loaded if unit is not None)

    @cached_property
    def vendor_services(self) -> tuple[LoadedUnit, ...]:
        """The services as their packages define them, whatever /etc says of them."""
        loaded = (load_unit(self.guest, name, directories=VENDOR_DIRECTORIES) for name in SERVICES)
        return tuple(unit for unit in loaded if unit is not None and not unit.masked)

    @cached_property
    def config_path(self) -> GuestPath:
        """The configuration file that sshd reads."""
        return config_path(self.guest, [service.unit for service in self.services])

    @cached_property
    def config(self) -> Config:
        """The configuration with its includes; that of an empty file where it is not there.

        Raises:
            GuestReadError: a file of it cannot be read, or it is too large to judge.
        """
        path = self.config_path
        data = self.guest.read(path) if self.guest.is_file(path) else b""
        server = self.server
        try:
            return parse(
                str(path),
                data,
                GuestSource(self.guest),
                release=server.release,
                family=server.family,
                known_words=server.words,
            )
        except FormatError as error:
            raise GuestReadError(path, error.message) from error

    @cached_property
    def settings(self) -> Settings:
        """What the configuration comes to."""
        return Settings(self.config)

    @cached_property
    def privsep_disabled(self) -> bool:
        """True when this sshd runs without privilege separation, which releases before 7.5 allow."""
        if self.server.release >= PRIVSEP_MANDATORY_SINCE:
            return False
        return self.settings.text("useprivilegeseparation", "yes").lower() == "no"

    @cached_property
    def uses_key_agent(self) -> bool:
        """True when HostKeyAgent lends the private keys."""
        return self.settings.text("hostkeyagent", "none").lower() != "none"

    @cached_property
    def host_key_files(self) -> tuple[tuple[GuestPath, str], ...]:
        """The host keys that sshd tries, each with the ``file:line`` that names it (empty: a default)."""
        named: dict[GuestPath, str] = {}
        for line in self.settings.every("hostkey"):
            if line.args and line.args[0].lower() != "none":
                named.setdefault(guest_path(line.args[0]), f"{line.place.file}:{line.place.line}")
        if named:
            return tuple(named.items())
        release = self.server.release
        kinds = ["rsa"]
        kinds += ["dsa"] if release < DSA_DEFAULT_UNTIL else []
        kinds += ["ecdsa"] if release >= (5, 7) else []
        kinds += ["ed25519"] if release >= (6, 5) else []
        return tuple((GuestPath(f"/etc/ssh/ssh_host_{kind}_key"), "") for kind in kinds)

    @cached_property
    def security_directories(self) -> tuple[GuestPath, ...]:
        """Directories of PAM modules."""
        return security_directories(self.guest)

    @cached_property
    def pam_stack(self) -> PamStack | None:
        """What PAM does for a login; None where sshd does not use PAM."""
        if not self.settings.is_on("usepam", default=False):
            return None
        return read_stack(self.guest, self.settings.text("pamservicename") or "sshd")

    @cached_property
    def pam_modules(self) -> tuple[tuple[PamCall, GuestPath | None], ...]:
        """Every call of a module, with the module's file (None: not there)."""
        calls = self.pam_stack.calls if self.pam_stack is not None else ()
        directories = self.security_directories
        return tuple((call, find_module(self.guest, call.module.module, directories)) for call in calls)

    def packaged_mode(self, path: GuestPath, kind: PackagedKind) -> int | None:
        """The permission bits that the package database records for a path; None where it does not."""
        if self.context.packages is None:
            return None
        entries = self.context.packages.lookup(str(path))
        return next((e.mode & 0o7777 for e in entries if e.mode is not None and e.kind is kind), None)

    def unmounted_above(self, path: GuestPath) -> str:
        """The mount point over a path that could not be mounted here, with the reason; else empty."""
        for target, reason in self.guest.unmounted:
            mount = GuestPath(target)
            if mount == path or mount in path.parents:
                return f"{target} is not mounted here ({reason})"
        return ""

    def content(self, path: GuestPath) -> bytes:
        """Content of a file that a verdict hangs on, empty when it is not there.

        Raises:
            GuestReadError: it is there and cannot be read.
        """
        return self.guest.read_if_there(path) or b""

    def read_optional(self, path: GuestPath) -> bytes:
        """Content of a file, empty when it is missing or unreadable: for hints, never for a verdict."""
        try:
            return self.guest.read_if_there(path) or b""
        except GuestReadError:
            return b""
