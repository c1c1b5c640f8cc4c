"""Whether anything starts sshd at boot: the service or its socket enabled and not masked; rc links elsewhere.

Sources: systemd.unit(5), *Unit File Load Path* and [Install]; insserv(8), chkconfig(8), rc-update(8).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from guestrepair.analyzers.base import Rule
from guestrepair.model import (
    Change,
    Effect,
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
    Subject,
)
from guestrepair.system.sshd.instances import is_wanted
from guestrepair.system.sshd.sshd import INIT_SCRIPTS, Sshd
from guestrepair.system.systemd import OWN, LoadedUnit

UNIT_DISABLED = Rule(
    name="sshd/unit-disabled",
    summary="nothing starts sshd at boot",
    severities=(Severity.ERROR, Severity.NOTE, Severity.WARNING),
    effect=Effect.STOPS_LOGIN,
    safeties=(Safety.REVIEW,),
    what="No unit that starts an sshd is enabled, neither the packaged service or its socket nor one by"
    " another name, or it is masked; without systemd, the init script has no start link or cannot be run."
    " A note where something else may let people in: dropbear, rc.local, a unit whose command nobody knows.",
    why="sshd is installed and never runs.",
    repair="Unmask and enable the service, for review: somebody may have wanted it off.",
    example="systemctl mask ssh",
    sources=("systemd.unit(5)", "systemctl(1), mask", "insserv(8)", "rc-update(8)"),
)

START_DIRECTORIES = tuple(
    GuestPath(p) for p in ("/etc/rc2.d", "/etc/rc3.d", "/etc/rc.d/rc3.d", "/etc/rc.d/rc2.d")
)
START_LINK = re.compile(r"S\d\dsshd?")
OPENRC_LEVELS = tuple(GuestPath("/etc/runlevels") / level for level in ("default", "boot", "sysinit"))


def check_enabled(sshd: Sshd) -> Iterator[Finding | Inconclusive]:
    """unit-disabled."""
    if _has_systemd(sshd) and sshd.vendor_services:
        yield from _systemd(sshd)
    elif _has_systemd(sshd) or sshd.services:
        return  # a unit by another name, or a generated one: nothing certain
    else:
        yield from _by_scripts(sshd)


def _has_systemd(sshd: Sshd) -> bool:
    return sshd.system.systemd.installed or sshd.files.exists(GuestPath("/usr/lib/systemd/system"))


# --- systemd ------------------------------------------------------------------------


def _systemd(sshd: Sshd) -> Iterator[Finding]:
    yield from _forbidden(sshd)
    if sshd.instance.started or not sshd.instance.packaged:
        return
    vendor = sshd.vendor_services[0]
    if sshd.other_starter:
        yield UNIT_DISABLED.finding(
            Subject.of_path(vendor.path),
            f"nothing starts {vendor.name} at boot; {sshd.other_starter} may let people in instead",
            severity=Severity.NOTE,
            evidence=(Evidence(sshd.other_starter, "started at boot"),),
        )
        return
    mask = sshd.system.systemd.masked_by(vendor.name)
    changes: list[Change] = []
    if mask is not None:
        changes.append(RemoveFile(path=mask, backup=False))
    wanted = is_wanted(sshd.system.systemd, vendor.name)
    if not wanted:
        changes += _enabling(sshd, vendor)
    observed = f"masked by {mask}" if mask is not None else "enabled by nothing"
    subject = mask if mask is not None else vendor.path
    yield UNIT_DISABLED.finding(
        Subject.of_path(subject),
        f"nothing starts sshd at boot: {vendor.name} is {observed}, and no socket of it is enabled",
        evidence=(
            Evidence(str(subject), observed, f"{vendor.name} or its socket enabled and not masked"),
            Evidence(str(OWN), "no link to the service or its socket" if not wanted else "enabled"),
        ),
        repair=Repair(
            f"{'unmask' if mask is not None else 'enable'} {vendor.name}", Safety.REVIEW, tuple(changes)
        ),
    )


def _forbidden(sshd: Sshd) -> Iterator[Finding]:
    """Debian's units do not start sshd while this file is there (ConditionPathExists=!…)."""
    for service in (*sshd.services, *sshd.vendor_services):
        for condition in service.unit.values("Unit", "ConditionPathExists"):
            path = GuestPath(condition.removeprefix("|").removeprefix("!"))
            if condition.startswith("!") and path.is_absolute() and sshd.files.exists(path):
                yield UNIT_DISABLED.finding(
                    Subject.of_path(path),
                    f"sshd is not started at boot: {service.path} has ConditionPathExists=!{path}",
                    evidence=(Evidence(str(path), "there", "not there"),),
                    repair=Repair(f"remove {path}", Safety.REVIEW, (RemoveFile(path=path),)),
                )
                return


def _enabling(sshd: Sshd, unit: LoadedUnit) -> list[Change]:
    targets = unit.unit.words("Install", "WantedBy") or ("multi-user.target",)
    places = [OWN / f"{target}.wants" / unit.name for target in targets]
    places += [OWN / alias for alias in unit.unit.words("Install", "Alias")]
    free = (place for place in places if sshd.files.lstat(place) is None)
    return [MakeLink(path=place, target=str(unit.path)) for place in free]


# --- init scripts -------------------------------------------------------------------


def _by_scripts(sshd: Sshd) -> Iterator[Finding]:
    script = next((p for p in INIT_SCRIPTS if sshd.files.is_file(p)), None)
    if script is None:
        return
    found = sshd.files.stat(script)
    if found is not None and not found.permissions & 0o111:
        change = SetMode(path=sshd.files.resolve(script) or script, before=found.permissions, after=0o755)
        repair = Repair(f"make {script} executable", Safety.REVIEW, (change,))
        yield _not_started(script, f"{script} is not executable", repair)
        return
    if any(sshd.files.is_directory(level) for level in OPENRC_LEVELS):
        if not any(sshd.files.lstat(level / script.name) is not None for level in OPENRC_LEVELS):
            link = MakeLink(path=OPENRC_LEVELS[0] / script.name, target=str(script))
            yield _not_started(script, "in no runlevel", Repair("add it to default", Safety.REVIEW, (link,)))
        return
    directories = [d for d in START_DIRECTORIES if sshd.files.is_directory(d)]
    names = [name for directory in directories for name in sshd.files.listdir(directory)]
    if directories and not any(START_LINK.fullmatch(name) for name in names):
        links = tuple(_start_link(directory, script) for directory in directories)
        yield _not_started(
            script, "no start link in rc2.d or rc3.d", Repair("add them", Safety.REVIEW, links)
        )


def _start_link(directory: GuestPath, script: GuestPath) -> MakeLink:
    return MakeLink(path=directory / f"S55{script.name}", target=f"../init.d/{script.name}")


def _not_started(script: GuestPath, observed: str, repair: Repair) -> Finding:
    return UNIT_DISABLED.finding(
        Subject.of_path(script),
        f"nothing starts sshd at boot: {script} is {observed}",
        evidence=(Evidence(str(script), observed, "started in the default runlevel"),),
        repair=repair,
    )
