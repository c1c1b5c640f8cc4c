"""Packages, units, accounts and kernel parameters that a policy requires."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import Any

from guestrepair.analyzers.base import Context
from guestrepair.analyzers.policy.verdict import Verdict
from guestrepair.formats.deb_version import DebVersion
from guestrepair.formats.kernel_cmdline import CommandLine
from guestrepair.formats.rpm_version import RpmVersion
from guestrepair.model import GuestPath
from guestrepair.model.requirements import (
    AccountRequirement,
    PackageRequirement,
    ParameterRequirement,
    UnitRequirement,
)
from guestrepair.packages.base import Package
from guestrepair.system.account_files import PASSWD
from guestrepair.system.guest_system import System

_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    ">=": operator.ge, "<=": operator.le, "==": operator.eq,
    "!=": operator.ne, ">": operator.gt, "<": operator.lt,
}  # fmt: skip
_INIT_SCRIPTS = GuestPath("/etc/init.d")


# --- packages -------------------------------------------------------------------------------


def judge_package(context: Context, wanted: PackageRequirement) -> Verdict:
    """One package; of several that are installed by that name, each has to be in the range."""
    verdict = Verdict(f"package {wanted.name}", f"package {wanted.name}")
    database = context.packages
    if database is None:
        reason = context.packages_error or context.packages_stopped or "the guest has no package database"
        verdict.unknown.append(reason)
        return verdict
    found = [package for package in database.packages if package.name == wanted.name]
    place = database.place or f"{database.format} database"
    if not found and database.damage:
        verdict.unknown.append(f"{database.damage[0].path}: {database.damage[0].reason}")
    elif not found and wanted.installed:
        verdict.missed(place, "it is not installed", _range(wanted) or "that it is")
    elif found and not wanted.installed:
        verdict.missed(place, f"version {found[0].version} is installed", "none")
    for package in found if wanted.installed else ():
        _version(package, wanted, database.format, place, verdict)
    return verdict


def _version(
    package: Package, wanted: PackageRequirement, package_format: str, place: str, verdict: Verdict
) -> None:
    fits = [_compares(package.version, *pair, package_format) for pair in wanted.versions]
    if None in fits:
        verdict.unknown.append(f"the order of versions of {package_format} packages is not known here")
    elif not all(fits):
        verdict.missed(place, f"version {package.version} is installed", _range(wanted))


def _compares(installed: str, comparison: str, version: str, package_format: str) -> bool | None:
    """Whether an installed version stands like that to another; None where nobody knows their order."""
    compare = _COMPARE[comparison]
    if package_format == "deb":
        return compare(DebVersion(installed), DebVersion(version))
    if package_format == "rpm":
        if "-" not in version:  # a range without a release means all of them (rpm-version(7))
            installed = installed.rpartition("-")[0] or installed
        return compare(RpmVersion(installed), RpmVersion(version))
    if comparison in {"==", "!="}:
        return compare(installed, version)
    return None


def _range(wanted: PackageRequirement) -> str:
    return ", ".join(f"{comparison} {version}" for comparison, version in wanted.versions)


# --- units ----------------------------------------------------------------------------------


def judge_unit(system: System, wanted: UnitRequirement) -> Verdict:
    """One unit: whether boot, or another unit's links, start it."""
    verdict = Verdict(f"unit {wanted.name}", wanted.name)
    script = _INIT_SCRIPTS / wanted.name.removesuffix(".service")
    if not system.systemd.installed:
        verdict.unknown.append("the guest has no systemd: what starts there is not known here")
        return verdict
    if system.systemd.load(wanted.name) is None and system.files.exists(script):
        verdict.unknown.append(f"it is the init script {script}: whether that is started is not known here")
        return verdict
    starters = list(_starters(system, wanted.name))
    if wanted.enabled and not starters:
        verdict.missed(*_why_not(system, wanted.name), "that boot starts it")
    elif not wanted.enabled:
        starters += [s for other in _companions(wanted.name) for s in _starters(system, other)]
        if starters:
            verdict.missed(starters[0], f"{starters[0]} starts it", "that nothing starts it")
    return verdict


def _starters(system: System, name: str) -> Iterator[str]:
    """What starts a unit: links in .wants directories and their like, or the units of the default target."""
    unit = system.systemd.load(name)
    if unit is None or system.systemd.is_masked(name):
        return
    yield from map(str, system.systemd.pulled_in_by(name))
    if unit.real_name in system.systemd.started_at_boot:
        yield "default.target"


def _companions(name: str) -> tuple[str, ...]:
    """The units that start a service of the same name when something happens (systemd.socket(5))."""
    stem, dot, kind = name.rpartition(".")
    return (
        tuple(f"{stem}.{other}" for other in ("socket", "timer", "path")) if dot and kind == "service" else ()
    )


def _why_not(system: System, name: str) -> tuple[str, str]:
    masked, unit = system.systemd.masked_by(name), system.systemd.load(name)
    if masked is not None:
        return str(masked), "it is masked"
    if unit is None:
        return "systemd's units", "there is no such unit"
    return str(unit.path), "nothing starts it"


# --- accounts and kernel parameters ---------------------------------------------------------


def judge_account(system: System, wanted: AccountRequirement) -> Verdict:
    """One account, by /etc/passwd (and the vendor's, where the guest has that)."""
    verdict = Verdict(f"account {wanted.name}", f"account {wanted.name}")
    entries = (system.accounts.passwd.get(wanted.name), system.accounts.altfiles.get(wanted.name))
    found = next((entry for entry in entries if entry is not None), None)
    if found is None and not system.files.exists(PASSWD):
        verdict.unknown.append(f"{PASSWD} is not there")
    elif found is None and wanted.present:
        verdict.missed(str(PASSWD), "there is none", "that there is one")
    elif found is not None and not wanted.present:
        verdict.missed(
            f"{PASSWD}:{found.line.number}", f"there is one (uid {found.uid})", "that there is none"
        )
    return verdict


def judge_parameter(system: System, wanted: ParameterRequirement) -> Verdict:
    """One parameter of the command line that is booted unless told otherwise."""
    text = wanted.name if wanted.value is None else f"{wanted.name}={wanted.value}"
    verdict = Verdict(f"kernel parameter {text}", f"kernel parameter {text}")
    default = system.boot_loader.default
    if default is None or default.entry is None:
        unread = [each.error.message for each in system.boot_loader.unread_menus]
        verdict.unknown += unread[:1] or ["which kernel is booted by default, and with what, is not known"]
        return verdict
    entry = default.entry
    values = _values(entry.entry.cmdline, wanted)
    is_there = any(_is_value(value, wanted.value) for value in values)
    if is_there == wanted.present:
        return verdict
    if any("$" in p.name or "$" in (p.value or "") for p in entry.entry.cmdline.parameters):
        verdict.unknown.append(f"{entry.place}: a variable of the boot loader stands in the command line")
        return verdict
    words = " ".join(wanted.name + (f"={value}" if value else "") for value in values)
    observed = f"the default entry has {words}" if values else "the default entry does not have it"
    verdict.missed(entry.place, observed, text if wanted.present else "that it has not")
    return verdict


def _is_value(value: str, wanted: str | None) -> bool:
    if wanted is None or not wanted.endswith("*"):
        return wanted in {None, value}
    return value.startswith(wanted[:-1])


def _values(cmdline: CommandLine, wanted: ParameterRequirement) -> tuple[str, ...]:
    """The values that count of a parameter, "" where it has none; the kernel takes - and _ for the same."""
    name = wanted.name.replace("-", "_")
    found = tuple(p.value or "" for p in cmdline.parameters if p.name.replace("-", "_") == name)
    return found if wanted.may_repeat else found[-1:]
