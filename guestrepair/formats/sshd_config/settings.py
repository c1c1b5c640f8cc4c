"""What a configuration that was read comes to: values in force, for everyone and for one account.

First value wins, list keywords add up, and what a matching Match block says
goes before what stands outside (sshd_config(5), Match).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from guestrepair.formats.sshd_config import algorithms, numbers
from guestrepair.formats.sshd_config.matching import Verdict
from guestrepair.formats.sshd_config.parse import Config, Directive, Problem

Release = tuple[int, int]
ALIASES = {
    "challengeresponseauthentication": "kbdinteractiveauthentication",
    "skeyauthentication": "kbdinteractiveauthentication",
    "hostdsakey": "hostkey",
    "dsaauthentication": "pubkeyauthentication",
    "keepalive": "tcpkeepalive",
    "pubkeyacceptedkeytypes": "pubkeyacceptedalgorithms",
    "hostbasedacceptedkeytypes": "hostbasedacceptedalgorithms",
}
"""Older names of the same setting."""

HOST_NAME = re.compile(r"[A-Za-z0-9._-]{1,255}")
ACCUMULATING = frozenset({"allowusers", "denyusers", "allowgroups", "denygroups", "acceptenv"})
PATTERN_LISTS_SINCE = (7, 9)
ALGORITHM_TABLES = {
    "ciphers": algorithms.CIPHERS,
    "macs": algorithms.MACS,
    "kexalgorithms": algorithms.KEX,
    "hostkeyalgorithms": algorithms.KEY_TYPES,
    "hostbasedacceptedalgorithms": algorithms.KEY_TYPES,
    "pubkeyacceptedalgorithms": algorithms.KEY_TYPES,
    "casignaturealgorithms": algorithms.KEY_TYPES,
}
METHOD_SWITCHES = {
    "publickey": ("pubkeyauthentication", True),
    "password": ("passwordauthentication", True),
    "keyboard-interactive": ("kbdinteractiveauthentication", True),
    "hostbased": ("hostbasedauthentication", False),
    "gssapi-with-mic": ("gssapiauthentication", False),
    "gssapi-keyex": ("gssapikeyexchange", False),
}


@dataclass(frozen=True, slots=True)
class Value:
    """The line that decides a setting, and whether it does so wherever the login comes from."""

    directive: Directive
    certain: bool = True

    @property
    def text(self) -> str:
        """The first argument, empty when there is none."""
        return self.directive.args[0] if self.directive.args else ""


class Settings:
    """The settings of a configuration."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self._directives: dict[str, list[Directive]] = defaultdict(list)
        for directive in config.directives:
            self._directives[ALIASES.get(directive.name, directive.name)].append(directive)

    def first(self, name: str) -> Directive | None:
        """The line outside of Match blocks that decides a setting, or None: the default applies."""
        return next((d for d in self._directives.get(name, ()) if d.is_global), None)

    def every(self, name: str) -> tuple[Directive, ...]:
        """All lines of a keyword outside of Match blocks, in order."""
        return tuple(d for d in self._directives.get(name, ()) if d.is_global)

    def text(self, name: str, default: str = "") -> str:
        """The first argument of the deciding line, or the default."""
        found = self.first(name)
        return found.args[0] if found is not None and found.args else default

    def is_on(self, name: str, *, default: bool) -> bool:
        """A yes/no setting outside of Match blocks."""
        return self.text(name, "yes" if default else "no").lower() == "yes"

    def for_account(self, name: str, user: str, groups: frozenset[str]) -> tuple[Value, ...]:
        """The lines of a keyword that may apply to a login of that user, the deciding one first.

        Those of Match blocks come first. Everything up to the first certain one can decide; with none
        certain the default can as well.
        """
        found: list[Value] = []
        for directive in self._directives.get(name, ()):
            if directive.is_global:
                continue
            verdicts = [c.verdict(user, groups) for c in directive.conditions]
            if Verdict.NO not in verdicts:
                found.append(Value(directive, Verdict.MAYBE not in verdicts))
        found.extend(Value(d) for d in self.every(name))
        if name in ACCUMULATING:
            return tuple(found)
        end = next((i for i, value in enumerate(found) if value.certain), len(found))
        return tuple(found[: end + 1])

    def cross_problems(self) -> Iterator[Problem]:
        """What sshd refuses after it has read every line: addresses, commands without user, dead methods."""
        yield from self._addresses()
        yield from self._algorithms()
        for command, user in (
            ("authorizedkeyscommand", "authorizedkeyscommanduser"),
            ("authorizedprincipalscommand", "authorizedprincipalscommanduser"),
        ):
            line = self.first(command)
            runs_as = self.first(user) or self.first(f"{command}runas")
            if line is not None and line.rest.strip().lower() != "none" and runs_as is None:
                names = {"authorizedkeyscommand": "AuthorizedKeysCommand"}
                spelled = names.get(command, "AuthorizedPrincipalsCommand")
                yield Problem(line.place, spelled, f"{spelled} set without {spelled}User", True)
        yield from self._methods()

    def _addresses(self) -> Iterator[Problem]:
        family = self.text("addressfamily", "any").lower()
        for line in self.every("listenaddress"):
            text = line.args[0] if line.args else ""
            bare = "[" not in text and text.count(":") >= 2
            cut = (text, None) if bare else numbers.host_and_port(text)
            host = cut[0] if cut else ""
            kind = numbers.address_family(host)
            # A name is left to the network: only what can be no name and is no address is refused.
            numeric = bool(kind) or not HOST_NAME.fullmatch(host) or not host.strip("0123456789.")
            wrong = {"inet": 6, "inet6": 4}.get(family) == kind
            if numeric and (not kind or (kind and wrong)):
                yield Problem(line.place, "ListenAddress", f"bad addr or host: {host}", True)

    def _algorithms(self) -> Iterator[Problem]:
        if self.config.release < PATTERN_LISTS_SINCE:
            return
        for name, table in ALGORITHM_TABLES.items():
            line = self.first(name)
            if line is None or not line.args or line.args[0].startswith("-"):
                continue
            if not algorithms.selects_something(line.args[0], table, self.config.release):
                message = f"assemble_algorithms: {name}: invalid argument"
                yield Problem(line.place, name, message, True)

    def _methods(self) -> Iterator[Problem]:
        line = self.first("authenticationmethods")
        if line is None or line.args == ("any",):
            return
        if not any(all(self._enabled(m) for m in words.split(",")) for words in line.args):
            message = "AuthenticationMethods cannot be satisfied by enabled authentication methods"
            yield Problem(line.place, "AuthenticationMethods", message, True)

    def _enabled(self, method: str) -> bool:
        switch = METHOD_SWITCHES.get(method.partition(":")[0])
        return switch is None or self.is_on(switch[0], default=switch[1])
