"""The network cards that virtual machines have, and the drivers that each takes.

A card is driven by a module of the booted kernel (in the initramfs or, as it is not needed before the root
filesystem is there, on it), or by a driver that is a part of that kernel.

Sources: the drivers' own tables of devices in Linux (drivers/net/virtio_net.c, xen-netfront.c, vmxnet3,
hyperv; drivers/net/ethernet/{intel,amazon,google,microsoft,mellanox,realtek,amd,dec}); drivers/virtio.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from guestrepair.system.drivers import Drivers, KernelModules


@dataclass(frozen=True, slots=True)
class Card:
    """One kind of network card: each group names drivers of which one is needed, the card's own last."""

    name: str
    title: str
    drivers: tuple[tuple[str, ...], ...]


CARDS = (
    Card("virtio-net", "virtio-net (KVM)", (("virtio_pci",), ("virtio_net",))),
    Card("ena", "ENA (AWS)", (("ena",),)),
    Card("xen-netfront", "Xen netfront", (("xen_netfront",),)),
    Card("hv-netvsc", "netvsc (Hyper-V)", (("hv_vmbus",), ("hv_netvsc",))),
    Card("mana", "MANA (Azure)", (("mana",),)),
    Card("mlx5", "Mellanox ConnectX-4 and later", (("mlx5_core",),)),
    Card("gve", "gVNIC (Google)", (("gve",),)),
    Card("idpf", "IDPF (Google)", (("idpf",),)),
    Card("vmxnet3", "vmxnet3 (VMware)", (("vmxnet3",),)),
    Card("e1000", "Intel PRO/1000 (e1000)", (("e1000",),)),
    Card("e1000e", "Intel PRO/1000 PCIe (e1000e)", (("e1000e",),)),
    Card("rtl8139", "Realtek 8139", (("8139cp", "8139too"),)),
    Card("pcnet", "AMD PCnet (vlance)", (("pcnet32",),)),
    Card("tulip", "DEC tulip (Hyper-V's legacy card)", (("tulip",),)),
)
"""What qemu, VMware, VirtualBox, Xen, Hyper-V and the clouds give their guests."""


def find_card(name: str) -> Card | None:
    """The card of that name."""
    return next((card for card in CARDS if card.name == name), None)


@dataclass(frozen=True, slots=True)
class CardDrivers:
    """What one kernel has for network cards; ``blocked`` are modules that modprobe.d keeps out, and where."""

    kernel: KernelModules
    blocked: dict[str, str]

    def missing(self, card: Card) -> tuple[str, ...]:
        """The drivers that are needed and not to be had, as words; empty where the card is driven."""
        return tuple(self._missing(card))

    def _missing(self, card: Card) -> Iterator[str]:
        for group in card.drivers:
            if any(self._is_there(name) for name in group):
                continue
            places = [f"{n} is blocked ({self.blocked[n]})" for n in group if n in self.blocked]
            yield places[0] if places else f"{' or '.join(group)} is not there"

    def _is_there(self, name: str) -> bool:
        if name in self.kernel.builtin:
            return True
        return name in self.kernel.loadable and name not in self.blocked


def card_drivers(drivers: Drivers, release: str) -> CardDrivers | None:
    """The drivers of one kernel; None where it has no list of its modules.

    Raises:
        GuestReadError: its lists cannot be read, or a file of modprobe.d, which may block any of them.
    """
    kernel = drivers.of(release)
    if kernel is None:
        return None
    for each in drivers.unread:
        raise each.error
    return CardDrivers(kernel, {b.name: f"{b.how}, {place}" for place, b in drivers.blocked})
