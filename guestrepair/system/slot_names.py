"""Whether the guest surely calls a card after the number of its hot-plug slot: ``ens3`` for slot 3.

Only what systemd-udevd does by a policy that is as systemd ships it, from version 239 on, with a kernel that
knows of ACPI's slots. Everything else (older versions, which left virtio cards alone, rules and .link files
of the administrator, biosdevname) makes it uncertain, and nothing is said.

Sources: systemd.net-naming-scheme(7), ID_NET_NAME_SLOT; systemd.link(5), NamePolicy=; Linux
drivers/pci/hotplug/Kconfig, HOTPLUG_PCI_ACPI; kernel-parameters.txt, acpi= and pci=.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from guestrepair.formats.systemd_unit import Unit, parse_unit
from guestrepair.model import GuestPath
from guestrepair.system.network.directories import merged_files

if TYPE_CHECKING:
    from guestrepair.system.guest_system import System

_VERSION = 239
"""The first whose naming scheme is written down; it takes virtio cards like any other."""
_LINKS = tuple(
    map(GuestPath, ("/usr/local/lib/systemd/network", "/usr/lib/systemd/network", "/lib/systemd/network"))
)
_BEFORE_SLOT = frozenset({"keep", "kernel", "database", "onboard"})
"""Policies that give such a card no name: none is on board, and the kernel's own names are not taken."""
_BIOSDEVNAME = tuple(map(GuestPath, ("/sbin/biosdevname", "/usr/sbin/biosdevname")))
_PC = frozenset({"x86_64", "i386", "i486", "i586", "i686"})
_NO_SLOTS = (("acpi", "off"), ("acpi", "ht"), ("pci", "noacpi"), ("noacpi", ""))


def are_called_by_slot(system: System) -> bool:
    """Whether that is certain.

    Raises:
        GuestReadError: what names the cards cannot be read.
    """
    naming, version = system.network.naming, system.systemd.version
    if naming.kernel_names or naming.given or naming.links or naming.has_generator:
        return False
    if system.os.arch not in _PC or version is None or version < _VERSION:
        return False
    if any(map(system.files.exists, _BIOSDEVNAME)):
        return False
    return _policy_has_slot(system) and _kernels_know_slots(system)


def _policy_has_slot(system: System) -> bool:
    """The first .link file that is for any card decides; one that may be for this card makes it uncertain."""
    for path in merged_files(system.view, _LINKS, ".link"):
        unit = parse_unit(system.view.read(path))
        if _is_of_another_kind(unit):
            continue
        if [*unit.words("Match", "OriginalName")] != ["*"] or unit.words("Link", "Name"):
            return False
        policy = unit.words("Link", "NamePolicy")
        before = policy[: policy.index("slot")] if "slot" in policy else policy
        return "slot" in policy and set(before) <= _BEFORE_SLOT
    return False


def _is_of_another_kind(unit: Unit) -> bool:
    """True for a file that is for USB, wireless or virtual cards alone, and so for none on a PCI bus."""
    words = [*unit.words("Match", "Path"), *unit.words("Match", "Property")]
    kinds = {*unit.words("Match", "Type")} - {"ether"}
    return bool(unit.words("Match", "Kind") or kinds) or any("usb" in word.lower() for word in words)


def _kernels_know_slots(system: System) -> bool:
    usual = [line.cmdline for line in system.boot_loader.lines if not line.is_rescue]
    if not usual or any(line.has(k) and (line.get(k) or "") == v for line in usual for k, v in _NO_SLOTS):
        return False
    configs = [system.built_in.config(kernel.release) for kernel in system.kernels.installed]
    return bool(configs) and all(c is not None and c.get("CONFIG_HOTPLUG_PCI_ACPI") == "y" for c in configs)
