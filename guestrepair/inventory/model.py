"""The inventory of one system, as plain data. Every text in it may be the guest's own; no secret is in it.

The names of these fields are the keys of the JSON inventory, documented in docs/inventory.md: fields are
added, never changed. A section that is None could not be read (the report says why) or, where its
documentation says so, is of something that this system does not have. One that is empty was read, and
there is nothing.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from guestrepair.packages.base import Package


@dataclass(frozen=True, slots=True, kw_only=True)
class InstalledPackage:
    """One installed package. ``state`` is the database's word where its installation is not finished."""

    name: str
    version: str
    architecture: str
    license: str = ""
    source: str = ""
    digest: str = ""
    state: str = "installed"

    @classmethod
    def of(cls, package: Package, state: str = "installed") -> InstalledPackage:
        """The row of a package of the database."""
        details = package.details
        return cls(
            name=package.name,
            version=package.version,
            architecture=package.architecture,
            license=details.license,
            source=details.source,
            digest=details.digest,
            state=state,
        )


class Change(enum.StrEnum):
    """In what a packaged file differs from the database."""

    CONTENT = "content"
    MISSING = "missing"
    KIND = "kind"
    TARGET = "target"
    MODE = "mode"
    OWNER = "owner"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModifiedFile:
    """One difference between a packaged file and the database: what is recorded, and what is there.

    ``is_config``: the package lets the administrator change it.
    """

    path: str
    package: str
    version: str
    architecture: str
    what: Change
    recorded: str
    observed: str
    is_config: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Modified:
    """What differs from the package database.

    ``digests`` says whose content was compared (none, critical: what boot and login need, all), ``compared``
    how many files that were, ``seen`` how many paths were looked at in all.
    """

    digests: str
    seen: int
    compared: int
    files: tuple[ModifiedFile, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """One unit of systemd, with the state that systemctl's ``is-enabled`` has for it.

    ``state``: enabled, disabled, masked, static (nothing to enable), alias; ``not found`` where only a
    link in .wants is there, ``failed to load`` where its file cannot be read. ``at_boot``: the default
    target pulls it in.
    """

    name: str
    state: str
    at_boot: bool
    wanted_by: tuple[str, ...] = ()
    path: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A key that lets somebody in as an account."""

    fingerprint: str
    type: str
    comment: str
    options: str
    file: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One account. ``password`` is the state of it: set, locked, none or empty; never the hash.

    ``expires`` is the day on which the account ends, ``expired`` whether it has by now; ``must_change``:
    the next login has to change the password. ``keys`` is None where they cannot be read.
    """

    name: str
    uid: int
    gid: int
    comment: str
    home: str
    shell: str
    groups: tuple[str, ...]
    password: str
    must_change: bool = False
    expires: str | None = None
    expired: bool = False
    keys: tuple[Key, ...] | None = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """One group of /etc/group."""

    name: str
    gid: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """What a manager would give to which cards.

    ``in_force``: boot does so. ``reach``: which card is meant, seen from a machine whose cards nobody has
    seen yet (any, name, kernel name, mac, other).
    """

    name: str
    manager: str
    served_by: str
    cards: tuple[str, ...]
    macs: tuple[str, ...]
    conditions: tuple[str, ...]
    asks: tuple[str, ...]
    addresses: tuple[str, ...]
    gateways: tuple[str, ...]
    part_of: str
    at_boot: bool
    in_force: bool
    reach: str
    place: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkManager:
    """A program that sets up cards; ``starts`` is None where that cannot be told."""

    name: str
    starts: bool | None
    masked_by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """The network: who sets cards up, what each card gets, who answers for names."""

    managers: tuple[NetworkManager, ...]
    interfaces: tuple[Interface, ...]
    nameservers: tuple[str, ...]
    resolver: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BootEntry:
    """One thing that the boot loader can start."""

    title: str
    default: bool
    kernel: str
    initramfs: tuple[str, ...]
    arguments: str
    loader: str
    place: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Boot:
    """The boot loader's menu. ``default`` is the title, None where none is known; ``chosen_by`` says why."""

    default: str | None
    chosen_by: str
    entries: tuple[BootEntry, ...]
    unified: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """One installed kernel; a path is None where that part is not there."""

    release: str
    default: bool
    image: str | None
    initramfs: str | None
    modules: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One setting of sshd outside of Match blocks; without ``place`` it is sshd's own default."""

    name: str
    value: str
    place: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SshServer:
    """One sshd. ``conditional`` are the lines in Match blocks, which hold for some logins only."""

    unit: str
    program: str
    release: str
    at_boot: bool
    config: str
    listens: tuple[str, ...]
    settings: tuple[Setting, ...]
    conditional: tuple[Setting, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """What the packet filter does with a login: open, closed, limited or unknown, and by which rule."""

    port: int
    family: int
    answer: str
    loader: str
    rule: str
    place: str
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Firewall:
    """What loads a packet filter at boot, and what becomes of a login over ssh."""

    loaders: tuple[str, ...]
    others: tuple[str, ...]
    ssh: tuple[Passage, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudInit:
    """cloud-init: ``datasource`` is that of the next boot as far as the disks decide it, else None."""

    installed: bool
    disabled_by: str = ""
    datasource: str | None = None
    datasources: tuple[str, ...] | None = None
    instance: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Brief:
    """What many systems are compared by: the release of the kernel that boots ("": not known), and packages.

    ``packages`` has the version of each by its name, several of one with commas between.
    """

    kernel: str = ""
    packages: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Inventory:
    """Everything. A section that is None is not known (or, ``units``, that this system has no systemd)."""

    packages: tuple[InstalledPackage, ...] | None = None
    modified: Modified | None = None
    units: tuple[Unit, ...] | None = None
    accounts: tuple[Account, ...] | None = None
    groups: tuple[Group, ...] | None = None
    network: Network | None = None
    boot: Boot | None = None
    kernels: tuple[Kernel, ...] | None = None
    sshd: tuple[SshServer, ...] | None = None
    firewall: Firewall | None = None
    cloud_init: CloudInit | None = None
