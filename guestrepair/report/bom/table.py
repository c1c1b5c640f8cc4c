"""The inventory for people: a table for each section; JSON has all of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from tabulate import tabulate

from guestrepair.inventory.model import Account, Inventory, Modified, Network, SshServer
from guestrepair.report.escape import printable

_MAX_CELL = 60
_NOTHING = "  none"
_UNKNOWN = "  not known: see below"


def inventory_lines(found: Inventory) -> Iterator[str]:
    """All sections, the long one of packages last."""
    yield from _boot(found)
    kernels = None if found.kernels is None else [
        (k.release, k.default, k.image, k.initramfs, k.modules) for k in found.kernels
    ]  # fmt: skip
    headers = ("release", "booted by default", "image", "initramfs", "modules")
    yield from _section("Kernels", headers, kernels)
    yield from _network(found.network)
    yield from _ssh(found.sshd)
    yield from _firewall(found)
    yield from _cloud(found)
    yield from _accounts(found.accounts)
    groups = None if found.groups is None else [(g.name, g.gid, g.members) for g in found.groups if g.members]
    yield from _section("Groups with members", ("group", "gid", "members"), groups)
    yield from _units(found)
    yield from _modified(found.modified)
    packages = None if found.packages is None else [
        (p.name, p.version, p.architecture, p.license, p.state) for p in found.packages
    ]  # fmt: skip
    yield from _section("Packages", ("package", "version", "architecture", "licence", "state"), packages)


def _section(title: str, headers: Sequence[str], rows: Sequence[Iterable[object]] | None) -> Iterator[str]:
    yield ""
    if rows is None:
        yield f"{title}:"
        yield _UNKNOWN
        return
    yield f"{title} ({len(rows)}):"
    if not rows:
        yield _NOTHING
        return
    cells = [[_cell(value) for value in row] for row in rows]
    yield tabulate(cells, headers, disable_numparse=True)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return printable(text if len(text) <= _MAX_CELL else text[: _MAX_CELL - 1] + "…")


def _boot(found: Inventory) -> Iterator[str]:
    if found.boot is None:
        yield from _section("Boot entries", (), None)
        return
    rows = [(e.default, e.title, e.kernel, e.initramfs) for e in found.boot.entries]
    yield from _section("Boot entries", ("default", "title", "kernel", "initramfs"), rows)
    for entry in found.boot.entries:
        if entry.default:
            yield printable(f"  command line: {entry.arguments}")
    for path in found.boot.unified:
        yield printable(f"  unified kernel: {path}")


def _network(found: Network | None) -> Iterator[str]:
    rows = None if found is None else [
        (i.name, i.served_by, (*i.cards, *i.macs, *i.conditions) or "any", (*i.asks, *i.addresses),
         i.in_force, i.place)
        for i in found.interfaces
    ]  # fmt: skip
    headers = ("interface", "by", "cards", "gets", "at boot", "where it stands")
    yield from _section("Network", headers, rows)


def _ssh(found: tuple[SshServer, ...] | None) -> Iterator[str]:
    rows = None if found is None else [
        (s.unit, s.release, s.at_boot, s.listens, s.config, len(s.conditional)) for s in found
    ]  # fmt: skip
    headers = ("unit", "OpenSSH", "at boot", "listens on", "configuration", "lines in Match")
    yield from _section("SSH servers", headers, rows)
    for server in found or ():
        cells = [[_cell(v) for v in (s.name, s.value, s.place or "default")] for s in server.settings]
        yield tabulate(cells, ("setting", "value", "where it stands"), disable_numparse=True)


def _firewall(found: Inventory) -> Iterator[str]:
    rows = None if found.firewall is None else [
        (f"port {p.port} over IPv{p.family}", p.answer, p.loader, p.rule, p.place) for p in found.firewall.ssh
    ]  # fmt: skip
    yield from _section("Firewall, for ssh", ("login", "is", "loaded by", "rule", "where it stands"), rows)


def _cloud(found: Inventory) -> Iterator[str]:
    cloud = found.cloud_init
    if cloud is None:
        yield from _section("cloud-init", (), None)
    elif cloud.installed:
        yield ""
        state = f"off by {cloud.disabled_by}" if cloud.disabled_by else "runs at boot"
        yield printable(
            f"cloud-init: {state}; datasource: {cloud.datasource or 'the platform decides'}; "
            f"instance: {cloud.instance or 'none yet'}"
        )


def _accounts(found: tuple[Account, ...] | None) -> Iterator[str]:
    rows = None if found is None else [
        (a.name, a.uid, a.shell, a.password, "expired" if a.expired else a.expires or "never",
         None if a.keys is None else len(a.keys), a.groups)
        for a in found
    ]  # fmt: skip
    headers = ("account", "uid", "shell", "password", "expires", "keys", "groups")
    yield from _section("Accounts", headers, rows)
    for account in found or ():
        for key in account.keys or ():
            yield printable(f"  key of {account.name}: {key.fingerprint} {key.type} {key.comment}")


def _units(found: Inventory) -> Iterator[str]:
    if found.units is None:
        yield ""
        yield "Units: no systemd, or not known"
        return
    told = [u for u in found.units if u.state not in {"static", "alias", "disabled"}]
    rows = [(u.name, u.state, u.at_boot, u.wanted_by, u.detail) for u in told]
    headers = ("unit", "state", "at boot", "wanted by", "")
    yield from _section("Units that are enabled, masked or not loaded", headers, rows)


def _modified(found: Modified | None) -> Iterator[str]:
    rows = None if found is None else [
        (f.path, f.package, f.what.value, "yes" if f.is_config else "", f.recorded, f.observed)
        for f in found.files
    ]  # fmt: skip
    headers = ("file", "package", "differs in", "configuration", "recorded", "found")
    yield from _section("Files that differ from the package database", headers, rows)
    if found is not None:
        yield f"  {found.seen} paths looked at, {found.compared} files hashed (--digests {found.digests})"
