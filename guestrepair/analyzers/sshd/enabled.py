"""Whether anything starts sshd at boot: the service or its socket enabled and not masked; rc links elsewhere.

Sources: systemd.unit(5), *Unit File Load Path* and [Install]; insserv(8), chkconfig(8), rc-update(8).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from guestrepair.analyzers.sshd.facts import SERVICES, SshdFacts
from guestrepair.analyzers.sshd.units import UNIT_DIRECTORIES, VENDOR_DIRECTORIES, LoadedUnit, load_unit
from guestrepair.model import (
    Change,
    Evidence,
    Finding,
    GuestPath,
    Inconclusive,
    MakeLink,
    RemoveFile,
    Repair,
    Safety,
    SetMode,
    Severity,
)

SOCKETS = ("ssh.socket", "sshd.socket")
OWN = GuestPath("/etc/systemd/system")
START_DIRECTORIES = tuple(
    GuestPath(p) for p in ("/etc/rc2.d", "/etc/rc3.d", "/etc/rc.d/rc3.d", "/etc/rc.d/rc2.d")
)
START_LINK = re.compile(r"S\d\dsshd?")
OPENRC_LEVELS = tuple(GuestPath("/etc/runlevels") / level for level in ("default", "boot", "sysinit"))


def check_enabled(facts: SshdFacts) -> Iterator[Finding | Inconclusive]:
    """unit-disabled."""
    if _has_systemd(facts) and facts.vendor_services:
        yield from _systemd(facts)
    elif _has_systemd(facts) or facts.services:
        return  # a unit by another name, or a generated one: nothing certain
    else:
        yield from _init_scripts(facts)


def _has_systemd(facts: SshdFacts) -> bool:
    paths = ("/usr/lib/systemd/systemd", "/lib/systemd/systemd", "/usr/lib/systemd/system")
    return any(facts.guest.exists(GuestPath(p)) for p in paths)


# --- systemd ------------------------------------------------------------------------


def _systemd(facts: SshdFacts) -> Iterator[Finding]:
    yield from _forbidden(facts)
    if any(_is_wanted(facts, name) and _is_loaded(facts, name) for name in (*SERVICES, *SOCKETS)):
        return
    vendor = facts.vendor_services[0]
    mask = _mask_of(facts, vendor.name)
    changes: list[Change] = []
    if mask is not None:
        changes.append(RemoveFile(path=mask, backup=False))
    wanted = _is_wanted(facts, vendor.name)
    if not wanted:
        changes += _enabling(facts, vendor)
    observed = f"masked by {mask}" if mask is not None else "enabled by nothing"
    subject = mask if mask is not None else vendor.path
    yield Finding(
        rule="sshd/unit-disabled",
        severity=Severity.ERROR,
        subject=str(subject),
        message=f"nothing starts sshd at boot: {vendor.name} is {observed}, and no socket of it is enabled",
        evidence=(
            Evidence(str(subject), observed, f"{vendor.name} or its socket enabled and not masked"),
            Evidence(str(OWN), "no link to the service or its socket" if not wanted else "enabled"),
        ),
        repair=Repair(
            f"{'unmask' if mask is not None else 'enable'} {vendor.name}", Safety.REVIEW, tuple(changes)
        ),
    )


def _forbidden(facts: SshdFacts) -> Iterator[Finding]:
    """Debian's units do not start sshd while this file is there (ConditionPathExists=!…)."""
    for service in (*facts.services, *facts.vendor_services):
        for condition in service.unit.values("Unit", "ConditionPathExists"):
            path = GuestPath(condition.removeprefix("|").removeprefix("!"))
            if condition.startswith("!") and path.is_absolute() and facts.guest.exists(path):
                yield Finding(
                    rule="sshd/unit-disabled",
                    severity=Severity.ERROR,
                    subject=str(path),
                    message=f"sshd is not started at boot: {service.path} has ConditionPathExists=!{path}",
                    evidence=(Evidence(str(path), "there", "not there"),),
                    repair=Repair(f"remove {path}", Safety.REVIEW, (RemoveFile(path=path),)),
                )
                return


def _is_loaded(facts: SshdFacts, name: str) -> bool:
    unit = load_unit(facts.guest, name)
    return unit is not None and not unit.masked


def _is_wanted(facts: SshdFacts, name: str) -> bool:
    """A link of that name below some target's .wants or .requires, in any unit directory."""
    names = {name, *_aliases(facts, name)}
    for directory in UNIT_DIRECTORIES:
        for kind in ("wants", "requires"):
            for target in facts.guest.glob(directory, f"*.target.{kind}"):
                if names & set(facts.guest.listdir(target)):
                    return True
    return False


def _aliases(facts: SshdFacts, name: str) -> set[str]:
    unit = load_unit(facts.guest, name, directories=VENDOR_DIRECTORIES)
    return set(unit.unit.words("Install", "Alias")) if unit is not None else set()


def _mask_of(facts: SshdFacts, name: str) -> GuestPath | None:
    path = OWN / name
    found = facts.guest.lstat(path)
    unit = load_unit(facts.guest, name)
    return path if found is not None and unit is not None and unit.masked and unit.path == path else None


def _enabling(facts: SshdFacts, unit: LoadedUnit) -> list[Change]:
    targets = unit.unit.words("Install", "WantedBy") or ("multi-user.target",)
    places = [OWN / f"{target}.wants" / unit.name for target in targets]
    places += [OWN / alias for alias in unit.unit.words("Install", "Alias")]
    free = (place for place in places if facts.guest.lstat(place) is None)
    return [MakeLink(path=place, target=str(unit.path)) for place in free]


# --- init scripts -------------------------------------------------------------------


def _init_scripts(facts: SshdFacts) -> Iterator[Finding]:
    script = next((p for p in _scripts() if facts.guest.is_file(p)), None)
    if script is None:
        return
    found = facts.guest.stat(script)
    if found is not None and not found.permissions & 0o111:
        change = SetMode(path=facts.guest.resolve(script) or script, before=found.permissions, after=0o755)
        repair = Repair(f"make {script} executable", Safety.REVIEW, (change,))
        yield _not_started(script, f"{script} is not executable", repair)
        return
    if any(facts.guest.is_directory(level) for level in OPENRC_LEVELS):
        if not any(facts.guest.lstat(level / script.name) is not None for level in OPENRC_LEVELS):
            link = MakeLink(path=OPENRC_LEVELS[0] / script.name, target=str(script))
            yield _not_started(script, "in no runlevel", Repair("add it to default", Safety.REVIEW, (link,)))
        return
    directories = [d for d in START_DIRECTORIES if facts.guest.is_directory(d)]
    names = [name for directory in directories for name in facts.guest.listdir(directory)]
    if directories and not any(START_LINK.fullmatch(name) for name in names):
        links = tuple(_start_link(facts, directory, script) for directory in directories)
        yield _not_started(
            script, "no start link in rc2.d or rc3.d", Repair("add them", Safety.REVIEW, links)
        )


def _start_link(facts: SshdFacts, directory: GuestPath, script: GuestPath) -> MakeLink:
    return MakeLink(path=directory / f"S55{script.name}", target=f"../init.d/{script.name}")


def _scripts() -> tuple[GuestPath, ...]:
    return tuple(GuestPath("/etc/init.d") / name for name in ("ssh", "sshd"))


def _not_started(script: GuestPath, observed: str, repair: Repair) -> Finding:
    return Finding(
        rule="sshd/unit-disabled",
        severity=Severity.ERROR,
        subject=str(script),
        message=f"nothing starts sshd at boot: {script} is {observed}",
        evidence=(Evidence(str(script), observed, "started in the default runlevel"),),
        repair=repair,
    )
