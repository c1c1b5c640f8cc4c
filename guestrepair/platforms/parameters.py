"""The parameters that the rules of requirements take: one frozen class a rule, with what each value may be.

A rule that stands in :data:`KINDS` with :class:`Clean` takes none: the requirement is that the rule finds
nothing (of warning or error).
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from guestrepair.system.cards import CARDS
from guestrepair.system.storage_buses import BUSES

Words: TypeAlias = tuple[str, ...]
AGENTS: Mapping[str, Words] = {
    "cloud-init": ("/usr/bin/cloud-init",),
    "waagent": ("/usr/sbin/waagent", "/usr/bin/waagent"),
    "google-guest-agent": ("/usr/bin/google_guest_agent", "/usr/bin/google_guest_agent_manager"),
    "amazon-ssm-agent": ("/usr/bin/amazon-ssm-agent", "/snap/amazon-ssm-agent/current/amazon-ssm-agent"),
    "qemu-guest-agent": ("/usr/bin/qemu-ga", "/usr/sbin/qemu-ga"),
    "open-vm-tools": ("/usr/bin/vmtoolsd",),
    "virtualbox-guest-additions": ("/usr/sbin/VBoxService", "/opt/VBoxGuestAdditions/sbin/VBoxService"),
    "hyperv-daemons": (
        "/usr/sbin/hv_kvp_daemon",
        "/usr/sbin/hypervkvpd",
        "/usr/libexec/hypervkvpd/hv_kvp_daemon",
    ),
    "afterburn": ("/usr/bin/afterburn",),
    "aliyun-assist": ("/usr/sbin/aliyun-service", "/usr/bin/aliyun-service"),
    "growpart": ("/usr/bin/growpart",),
}
"""Programs that a cloud or hypervisor works with in the guest, and where each may lie."""
FIRMWARES = ("bios", "uefi")
_FORMATS = ("raw", "qcow2", "vpc", "vpc/fixed", "vpc/dynamic", "vhdx", "vdi", "vmdk", "vmdk/streamOptimized")
_SSHD = ("ClientAliveInterval", "PasswordAuthentication", "PermitRootLogin")


@dataclass(frozen=True, slots=True, kw_only=True)
class Clean:
    """The rule must find nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageDriver:
    """One of these controllers (:data:`~guestrepair.system.storage_buses.BUSES`) must be driven."""

    any: Words


@dataclass(frozen=True, slots=True, kw_only=True)
class NicDriver:
    """One of these network cards (:data:`~guestrepair.system.cards.CARDS`) must be driven."""

    any: Words


@dataclass(frozen=True, slots=True, kw_only=True)
class Firmware:
    """The disk must boot by one of these; ``fallback``: UEFI finds it without an entry in its NVRAM."""

    any: Words
    fallback: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Console:
    """One of these consoles must be on the default entry's command line (``ttyS0``)."""

    any: Words


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """Words that must be, and must not be, on the default entry's command line."""

    required: Words = ()
    forbidden: Words = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """The file must have one of these formats; the disk's size is a multiple, and at most so much.

    ``tarred``: it is delivered as a file of that name, in a tar archive of the old GNU kind, with gzip.
    """

    any: Words
    multiple_mib: int = 0
    most_gib: int = 0
    tarred: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RootFilesystem:
    """The root filesystem must be one of these; ``subvolume``: it may be one of btrfs."""

    any: Words
    subvolume: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """One of these programs must be installed."""

    any: Words


@dataclass(frozen=True, slots=True, kw_only=True)
class Datasource:
    """cloud-init must be allowed one of these datasources."""

    any: Words


@dataclass(frozen=True, slots=True, kw_only=True)
class SshdSetting:
    """A setting of sshd: one of these values, or a number of seconds in this range."""

    name: str
    any: Words = ()
    least: int = -1
    most: int = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class PinnedName:
    """The names that the platform gives its first card: configuration bound to one of them fits.

    Without names it is not known which: configuration that is bound to a name cannot be judged. ``by_slot``
    are the names of all its cards in a guest that surely calls them after their slots, and in no other.
    """

    names: Words = ()
    by_slot: Words = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PinnedMac:
    """The MACs of the machine's cards: configuration bound to one of them fits."""

    macs: Words = ()


Parameters: TypeAlias = (
    Clean
    | StorageDriver
    | NicDriver
    | Firmware
    | Console
    | Arguments
    | Container
    | RootFilesystem
    | Agent
    | Datasource
    | SshdSetting
    | PinnedName
    | PinnedMac
)

KINDS: Mapping[str, type[Parameters]] = {
    "boot/initramfs-lacks-driver": StorageDriver,
    "cloud/wrong-datasource": Datasource,
    "cloud/disabled": Clean,
    "firewall/ssh-closed": Clean,
    "fstab/device-name": Clean,
    "network/no-configuration": Clean,
    "network/pinned-mac": PinnedMac,
    "network/pinned-name": PinnedName,
    "platform/agent-missing": Agent,
    "platform/console": Console,
    "platform/container": Container,
    "platform/encrypted-root": Clean,
    "platform/firmware": Firmware,
    "platform/kernel-arguments": Arguments,
    "platform/lvm": Clean,
    "platform/nic-driver": NicDriver,
    "platform/no-dhcp": Clean,
    "platform/root-by-device-name": Clean,
    "platform/root-filesystem": RootFilesystem,
    "platform/sshd-setting": SshdSetting,
    "platform/swap": Clean,
}
"""Every rule that a requirement may name, and what it takes."""

_BUS_NAMES = frozenset(bus.name for bus in BUSES)
_CARD_NAMES = frozenset(card.name for card in CARDS)
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.,:=/-]{0,80}")
_KNOWN: Mapping[tuple[type[Parameters], str], frozenset[str]] = {
    (StorageDriver, "any"): _BUS_NAMES,
    (NicDriver, "any"): _CARD_NAMES,
    (Firmware, "any"): frozenset(FIRMWARES),
    (Container, "any"): frozenset(_FORMATS),
    (Agent, "any"): frozenset(AGENTS),
    (SshdSetting, "name"): frozenset(_SSHD),
}


def parameters_of(rule: str, given: Mapping[str, object]) -> Parameters:
    """The parameters of a requirement.

    Raises:
        ValueError: the rule takes no such parameter, one is missing, or has a value that it may not have.
    """
    kind = KINDS.get(rule)
    if kind is None:
        raise ValueError(f"{rule} is no rule that a platform can require")
    fields = {field.name: field for field in dataclasses.fields(kind)}
    for name in given:
        if name not in fields:
            raise ValueError(f"{rule} takes no parameter {name}")
    values = {name: _value(kind, name, str(fields[name].type), value) for name, value in given.items()}
    try:
        return kind(**values)  # type: ignore[arg-type]  # each was checked against its field
    except TypeError:
        missing = [n for n, f in fields.items() if f.default is dataclasses.MISSING and n not in values]
        raise ValueError(f"{rule} needs {', '.join(missing)}") from None


_CHECKS: Mapping[str, Callable[[object], bool]] = {
    "Words": lambda v: isinstance(v, list) and bool(v) and all(isinstance(w, str) for w in v),
    "str": lambda v: isinstance(v, str),
    "int": lambda v: isinstance(v, int) and not isinstance(v, bool) and v >= 0,
    "bool": lambda v: isinstance(v, bool),
}
_SAID = {
    "Words": "a list of words",
    "str": "a word",
    "int": "a whole number from 0 on",
    "bool": "true or false",
}


def _value(kind: type[Parameters], name: str, type_name: str, value: object) -> object:
    if not _CHECKS[type_name](value):
        raise ValueError(f"{name} must be {_SAID[type_name]}")
    words = value if isinstance(value, list) else [value] if isinstance(value, str) else []
    known = _KNOWN.get((kind, name))
    for word in words:
        if known is not None and word not in known:
            raise ValueError(f"{name}: {word!r} is none of {', '.join(sorted(known))}")
        if not _WORD.fullmatch(word):
            raise ValueError(f"{name}: {word!r} is no word")
    return tuple(words) if isinstance(value, list) else value


EMULATED_BUSES = frozenset(
    ["virtio-blk", "virtio-scsi", "nvme", "ahci", "ide", "lsi-53c895a", "lsi-sas", "megaraid-sas", "pvscsi"]
)
"""Controllers that qemu has: the tests hold what is said of their drivers against boots."""

EMULATED_CARDS = frozenset(["virtio-net", "e1000", "e1000e", "vmxnet3", "rtl8139"])
"""The same of network cards."""


def is_proved_by_boots(parameters: Parameters) -> bool | None:
    """Whether tests hold what is said of a requirement's hardware against boots; None for no hardware."""
    if isinstance(parameters, StorageDriver):
        return set(parameters.any) <= EMULATED_BUSES
    if isinstance(parameters, NicDriver):
        return set(parameters.any) <= EMULATED_CARDS
    return True if isinstance(parameters, Firmware) else None
