"""What boot loads into the packet filter, and what becomes of a login over ssh."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from guestrepair.errors import GuestReadError
from guestrepair.formats.firewall.rules import Ruleset
from guestrepair.model import GuestPath
from guestrepair.system.fact import Unreadable, attempt, fact
from guestrepair.system.files import guest_path
from guestrepair.system.firewall.files import FirewallFiles, assignments
from guestrepair.system.firewall.loaders import Loader, command_words, find_loaders
from guestrepair.system.firewall.packets import packets_of_a_login
from guestrepair.system.firewall.ports import Listening, listening
from guestrepair.system.firewall.ufw import UFW_CONF
from guestrepair.system.firewall.walk import Answer, Passage, ask, worst
from guestrepair.system.strange import Strange
from guestrepair.system.systemd import OWN as OWN_UNITS

if TYPE_CHECKING:
    from guestrepair.system.guest_system import System

_FILTERS = re.compile(
    rb"(?:^|[\s/;&|(`])(?:nft|ip6?tables(?:-(?:nft|legacy))?(?:-restore)?|ufw|firewall-cmd|ferm|shorewall6?)\s"
)
_BY_NAME = re.compile(r"nft|ip6?tables|shorewall|ferm\b|firehol|arno-iptables|csf\b|lfd\b|awall")
_KNOWN_UNITS = frozenset({"ufw.service", "firewalld.service"})
_RC_LOCAL = (GuestPath("/etc/rc.local"), GuestPath("/etc/rc.d/rc.local"))
_HOOKS = (GuestPath("/etc/network/if-pre-up.d"), GuestPath("/etc/network/if-up.d"))
_INTERFACES = GuestPath("/etc/network/interfaces")
_SCRIPT_LIMIT = 64 * 1024
_MAX_SCRIPTS = 32


@dataclass(frozen=True, slots=True)
class Way:
    """What becomes of a login on one port over one family, with the loader whose rules decide."""

    listening: Listening
    passage: Passage
    loader: Loader | None = None


class Firewall:
    """The packet filters of one guest."""

    def __init__(self, system: System) -> None:
        self._system = system

    @fact
    def loaders(self) -> tuple[Loader, ...]:
        """What loads rules at boot, of the kinds that are known."""
        return tuple(find_loaders(self._system.view, self._system.systemd))

    @fact
    def other_loaders(self) -> tuple[str, ...]:
        """What else changes the packet filter at boot, in words: its rules are not known here."""
        return tuple(self._others())

    @fact
    def strange(self) -> tuple[Strange, ...]:
        """The word of ufw.conf that is neither yes nor no: ufw then loads nothing."""
        data = FirewallFiles(self._system.view).read(str(UFW_CONF))
        word = assignments(data).get("ENABLED", "") if data is not None else ""
        if word.lower() in {"", "yes", "no"}:
            return ()
        return (Strange(UFW_CONF, 0, f"ENABLED={word}", "ufw's yes or no"),)

    @fact
    def listening(self) -> tuple[Listening, ...]:
        """Where sshd waits for connections from outside; nothing where there is no sshd."""
        return listening(self._system.sshds)

    def content(self, path: str) -> bytes | None:
        """A file that a loader reads, as it is; None where nothing is there."""
        return FirewallFiles(self._system.view).read(path)

    def real(self, path: str) -> GuestPath | None:
        """Where a file of a loader really lies."""
        return self._system.view.resolve(guest_path(path))

    def ways(self, instead: Mapping[str, bytes] | None = None) -> tuple[Way, ...]:
        """What becomes of a login, for each port and family that sshd waits on.

        ``instead`` is other content for some files, to see what a repair would do.
        """
        files = FirewallFiles(self._system.view, instead)
        loaded = [(loader, _load(loader, files)) for loader in self.loaders]
        return tuple(self._way(each, loaded) for each in self.listening)

    @fact
    def _cards(self) -> tuple[str, ...]:
        """The names of the guest's cards; none where they are not known, or nobody could look."""
        found = attempt(lambda: self._system.network.card_names, "network")
        return () if isinstance(found, Unreadable) else found

    def _way(self, where: Listening, loaded: list[tuple[Loader, Ruleset | Unreadable]]) -> Way:
        answers = [(loader, _through(ruleset, where, self._cards)) for loader, ruleset in loaded]
        answers = [_in_company(loader, passage, loaded) for loader, passage in answers]
        passage = worst([passage for _, passage in answers])
        if self.other_loaders:
            reasons = (*self.other_loaders, *passage.reasons)
            return Way(
                where, Passage(Answer.UNKNOWN, passage.what, passage.place, passage.text, reasons=reasons)
            )
        loader = next((loader for loader, p in answers if p.answer is passage.answer), None)
        return Way(where, passage, loader)

    # --- what else there is ---------------------------------------------------------------

    def _others(self) -> Iterator[str]:
        systemd, view = self._system.systemd, self._system.view
        for path in _RC_LOCAL:
            found = view.stat(path)
            if found is not None and found.is_file and found.permissions & 0o111 and self._filters(path):
                yield f"{path} changes the packet filter"
        for folder in _HOOKS:
            yield from (f"{p} changes the packet filter" for p in view.glob(folder, "*") if self._filters(p))
        if view.is_file(_INTERFACES) and self._filters(_INTERFACES):
            yield f"{_INTERFACES} changes the packet filter"
        if systemd.installed:
            yield from self._other_units()

    def _other_units(self) -> Iterator[str]:
        known = {loader.unit for loader in self.loaders} | _KNOWN_UNITS
        scripts = 0
        for name in sorted(self._system.systemd.started_at_boot - known):
            unit = attempt(partial(self._system.systemd.load, name)) if name.endswith(".service") else None
            if unit is None or isinstance(unit, Unreadable) or unit.masked:
                continue
            for key in ("ExecStartPre", "ExecStart", "ExecStartPost"):
                for command in unit.unit.values("Service", key):
                    program = (command_words(command) or [""])[0].lstrip("-@:+!")
                    if _FILTERS.search(b" " + command.encode("utf-8", "replace") + b" ") or _BY_NAME.search(
                        GuestPath(program or "/").name
                    ):
                        yield f"{name} changes the packet filter"
                    elif OWN_UNITS in unit.path.parents and scripts < _MAX_SCRIPTS:
                        scripts += 1
                        yield from self._script(name, command)

    def _script(self, unit: str, command: str) -> Iterator[str]:
        for word in command_words(command):
            path = guest_path(word.lstrip("-@:+!"))
            if word.lstrip("-@:+!").startswith("/") and self._filters(path):
                yield f"{unit} runs {path}, which changes the packet filter"

    def _filters(self, path: GuestPath) -> bool:
        """True for a script that calls a program that changes the filter; a program says nothing."""
        view = self._system.view
        found = view.stat(path)
        if found is None or not found.is_file or found.size_bytes > _SCRIPT_LIMIT:
            return False
        data = view.read(path, limit_bytes=_SCRIPT_LIMIT)
        if b"\0" in data:
            return False
        lines = (line for line in data.split(b"\n") if not line.lstrip().startswith(b"#"))
        return any(_FILTERS.search(b" " + line + b" ") for line in lines)


def _load(loader: Loader, files: FirewallFiles) -> Ruleset | Unreadable:
    return attempt(partial(loader.load, files), loader.files[0] if loader.files else loader.unit)


def _through(ruleset: Ruleset | Unreadable, where: Listening, cards: tuple[str, ...]) -> Passage:
    """What one loader's rules do with all that a login needs."""
    if isinstance(ruleset, Unreadable):
        error = GuestReadError(ruleset.path, ruleset.reason)
        return Passage(Answer.UNKNOWN, reasons=(error.message,))
    found = [ask(ruleset, packet) for packet in packets_of_a_login(where.port, where.family, cards)]
    passage = worst(found)
    if passage.answer is Answer.OPEN:
        return found[0]
    if passage.answer in {Answer.CLOSED, Answer.LIMITED} and ruleset.doubts:
        return Passage(
            Answer.UNKNOWN, passage.what, passage.place, passage.text, reasons=tuple(ruleset.doubts[:5])
        )
    return passage


def share_a_table(one: Ruleset | Unreadable, other: Ruleset | Unreadable) -> bool:
    """True when nft's rules are in a table that iptables (through nftables) takes for its own."""
    if isinstance(one, Unreadable) or isinstance(other, Unreadable):
        return True
    mine, theirs = (
        {(family, name.removeprefix("iptables ")) for family, name in ruleset.tables}
        for ruleset in (one, other)
    )
    by_iptables = any(name.startswith("iptables ") for r in (one, other) for _, name in r.tables)
    return by_iptables and bool(mine & theirs)


def _known_ruleset(loader: Loader, loaded: list[tuple[Loader, Ruleset | Unreadable]]) -> Ruleset | Unreadable:
    return next(ruleset for each, ruleset in loaded if each is loader)


def _in_company(
    loader: Loader, passage: Passage, loaded: list[tuple[Loader, Ruleset | Unreadable]]
) -> tuple[Loader, Passage]:
    """What holds of a loader's answer where another one may undo it: only one that lets all through does."""
    if passage.answer in {Answer.OPEN, Answer.UNKNOWN}:
        return loader, passage
    for other, ruleset in loaded:
        if other is loader or (other.name == loader.name == "iptables"):
            continue
        flushes = isinstance(ruleset, Unreadable) or ruleset.flushes
        conflict = other.unit in loader.conflicts or loader.unit in other.conflicts
        shared = {other.name, loader.name} <= {"iptables", "ufw"} or share_a_table(
            _known_ruleset(loader, loaded), ruleset
        )
        if flushes or conflict or shared:
            reason = f"{other.unit} changes the packet filter, too, and which comes last is not certain"
            return loader, Passage(
                Answer.UNKNOWN, passage.what, passage.place, passage.text, reasons=(reason,)
            )
    return loader, passage
