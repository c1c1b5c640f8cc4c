"""The sshds that boot starts, and what their configuration comes to.

Source: sshd_config(5).
"""

from __future__ import annotations

from collections.abc import Iterator

from guestrepair.events.secrets import masked
from guestrepair.formats.sshd_config.parse import Directive
from guestrepair.formats.sshd_config.settings import ACCUMULATING, ALIASES
from guestrepair.inventory import model
from guestrepair.system.guest_system import System
from guestrepair.system.sshd.defaults import default_of
from guestrepair.system.sshd.sshd import Sshd

_SHOWN = (
    "kbdinteractiveauthentication", "passwordauthentication", "permitemptypasswords", "permitrootlogin",
    "pubkeyauthentication", "usepam", "x11forwarding",
)  # fmt: skip
"""Settings that are listed where no line gives them, too."""
_SEVERAL = ACCUMULATING | {"port", "listenaddress", "hostkey", "hostcertificate", "subsystem"}
"""Keywords whose lines add up; of others the first one counts."""


def servers(system: System) -> tuple[model.SshServer, ...]:
    """Every sshd; empty where none is installed.

    Raises:
        GuestReadError: the configuration of one cannot be read.
    """
    return tuple(_server(sshd) for sshd in system.sshds)


def _server(sshd: Sshd) -> model.SshServer:
    release = ".".join(map(str, sshd.server.release))
    return model.SshServer(
        unit=sshd.name,
        program=str(sshd.server.binary),
        release=release,
        at_boot=sshd.instance.started,
        config=str(sshd.config_path),
        listens=tuple(map(str, sshd.endpoints)),
        settings=tuple(_settings(sshd)),
        conditional=tuple(_setting(d) for d in sshd.config.directives if not d.is_global),
    )


def _settings(sshd: Sshd) -> Iterator[model.Setting]:
    """The lines in force, then the defaults of what decides about logins, sorted by name."""
    found: dict[str, list[model.Setting]] = {}
    for directive in sshd.config.directives:
        name = ALIASES.get(directive.name, directive.name)
        if directive.is_global and name != "include" and (name in _SEVERAL or name not in found):
            found.setdefault(name, []).append(_setting(directive))
    for name in _SHOWN:
        found.setdefault(name, [model.Setting(name=name, value=default_of(name, sshd.server.release))])
    for name in sorted(found):
        yield from found[name]


def _setting(directive: Directive) -> model.Setting:
    name = ALIASES.get(directive.name, directive.name)
    place = f"{directive.place.file}:{directive.place.line}"
    value = " ".join(directive.args) or directive.rest.strip()
    return model.Setting(name=name, value=masked(value), place=place)  # of SetEnv and ForceCommand
