"""What makes host keys at boot: sshd-keygen units, init scripts, cloud-init.

Sources: Fedora's sshd-keygen@.service and sshd-keygen.target, Debian's and
Arch's key units, SUSE's sshd-gen-keys-start, cloud-init's cc_ssh module.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from guestrepair.analyzers.sshd.facts import SshdFacts
from guestrepair.analyzers.sshd.units import UNIT_DIRECTORIES, LoadedUnit, load_unit
from guestrepair.model import GuestPath

KEYGEN = re.compile(
    r"ssh-keygen\s+-\S*A|sshd-keygen|sshd-gen-keys|dpkg-reconfigure\s+(?:-\S+\s+){0,8}openssh-server|ssh-keygen\b"
)
SUBJECT = re.compile(r"ssh|key", re.IGNORECASE)
MAKING = re.compile(r"gen|key", re.IGNORECASE)
CLOUD_INIT = GuestPath("/usr/bin/cloud-init")
CLOUD_INIT_SEMAPHORES = GuestPath("/var/lib/cloud/instance/sem")
UNSET_MACHINE_IDS = (b"", b"uninitialized")


def key_generator(facts: SshdFacts) -> str:
    """What will make host keys that lack when this guest boots next; empty when nothing does."""
    for service in facts.services:
        commands = (
            *service.unit.values("Service", "ExecStartPre"),
            *service.unit.values("Service", "ExecStart"),
        )
        if any(KEYGEN.search(command) for command in commands):
            return str(service.path)
        for name in _wanted_names(facts, service):
            unit = _generating_unit(facts, name, depth=0)
            if unit:
                return unit
    for directory in ("sysinit", "basic", "multi-user", "network-online"):
        for name in _links(facts, f"{directory}.target"):
            if _may_generate(name):
                unit = _generating_unit(facts, name, depth=0)
                if unit:
                    return unit
    return _from_scripts(facts) or _from_cloud_init(facts)


def _wanted_names(facts: SshdFacts, unit: LoadedUnit) -> Iterator[str]:
    for key in ("Wants", "Requires", "BindsTo", "Upholds"):
        yield from unit.unit.words("Unit", key)
    yield from _links(facts, unit.name)


def _links(facts: SshdFacts, name: str) -> Iterator[str]:
    for directory in UNIT_DIRECTORIES:
        for kind in ("wants", "requires"):
            yield from (path.name for path in facts.guest.glob(directory / f"{name}.{kind}", "*"))


def _may_generate(name: str) -> bool:
    """True for the name of a unit that has to do with ssh or keys, and with making them."""
    found = SUBJECT.search(name)
    return found is not None and MAKING.search(name, found.end()) is not None


def _generating_unit(facts: SshdFacts, name: str, *, depth: int) -> str:
    if depth > 2 or "/" in name or not _may_generate(name):
        return ""
    head, at, instance = name.partition("@")
    template = f"{head}@.{instance.partition('.')[2]}" if at else name
    unit = load_unit(facts.guest, name) or load_unit(facts.guest, template)
    if unit is None or unit.masked or not _conditions_allow(facts, unit):
        return ""
    if any(KEYGEN.search(command) for command in unit.unit.values("Service", "ExecStart")):
        return str(unit.path)
    if name.endswith(".target"):
        for wanted in _wanted_names(facts, unit):
            found = _generating_unit(facts, wanted, depth=depth + 1)
            if found:
                return found
    return ""


def _conditions_allow(facts: SshdFacts, unit: LoadedUnit) -> bool:
    first_boot = unit.unit.last("Unit", "ConditionFirstBoot").lower()
    if first_boot in ("yes", "true", "1", "on") and not _is_first_boot(facts):
        return False
    waits = any("cloud-init" in value for value in unit.unit.values("Unit", "ConditionPathExists"))
    return not (waits and _cloud_init_enabled(facts))


def _is_first_boot(facts: SshdFacts) -> bool:
    return facts.content(GuestPath("/etc/machine-id")).strip() in UNSET_MACHINE_IDS


def _from_scripts(facts: SshdFacts) -> str:
    names = [] if facts.services else ["/etc/init.d/sshd", "/etc/init.d/ssh"]
    for name in (*names, "/etc/rc.local", "/etc/rc.d/rc.local"):
        path = GuestPath(name)
        found = facts.guest.stat(path)
        if found is None or not found.permissions & 0o111 or not found.is_file:
            continue
        text = facts.content(path).decode("utf-8", "replace")
        if any(KEYGEN.search(line.split("#")[0]) for line in text.splitlines()):
            return name
    return ""


def _cloud_init_enabled(facts: SshdFacts) -> bool:
    guest = facts.guest
    if not guest.exists(CLOUD_INIT) or guest.exists(GuestPath("/etc/cloud/cloud-init.disabled")):
        return False
    unit = load_unit(guest, "cloud-init.service") or load_unit(guest, "cloud-init-network.service")
    return unit is not None and not unit.masked


def _from_cloud_init(facts: SshdFacts) -> str:
    # cc_ssh runs once per instance; its semaphore says that this instance has had its keys.
    if not _cloud_init_enabled(facts):
        return ""
    ran = (
        facts.guest.glob(CLOUD_INIT_SEMAPHORES, "config_*ssh")
        if facts.guest.exists(CLOUD_INIT_SEMAPHORES)
        else ()
    )
    return "" if ran else "cloud-init (this instance has not booted yet)"
