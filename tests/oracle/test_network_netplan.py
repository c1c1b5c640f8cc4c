"""Our reading of netplan's files against the real generator: refused, on which line, what cards get."""

from __future__ import annotations

import os
import random
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import GuestPath
from guestrepair.system.network import netplan
from guestrepair.system.network.drop_ins import layered
from guestrepair.system.network.model import Configuration
from guestrepair.system.network.networkd import configuration_of
from tests.oracle.network_tools import Tool

GOOD = [
    "dhcp4: true",
    "dhcp4: yes\n      dhcp6: on",
    "dhcp4: 'true'",
    "addresses: [10.0.0.5/24]\n      routes: [{to: default, via: 10.0.0.1}]",
    "addresses: [10.0.0.5/24, '2001:db8::5/64']\n      gateway4: 10.0.0.1",
    "addresses:\n        - 10.0.0.5/24\n        - 10.0.0.6/24:\n            label: 'x:1'",
    "match: {macaddress: '52:54:00:00:00:01'}\n      set-name: eth0\n      dhcp4: true",
    "match:\n        name: en*\n      dhcp4: true",
    "match: {driver: virtio_net}\n      dhcp4: true",
    "match: {}\n      dhcp4: true",
    "optional: true\n      dhcp4: no",
    "nameservers: {addresses: [1.1.1.1], search: [a.example]}\n      dhcp4: true",
    "mtu: 1400\n      dhcp4: true",
    "dhcp4: true\n      dhcp4-overrides: {route-metric: 100}",
    "renderer: networkd\n      dhcp4: true",
    "dhcp4: true\n      dhcp4: false",
    "addresses: [10.1.0.5/24]\n      routes:\n        - {to: 0.0.0.0/0, via: 10.0.0.1, on-link: true}",
    "accept-ra: true\n      link-local: [ipv6]",
    "wakeonlan: true\n      macaddress: 52:54:00:00:00:09\n      dhcp4: true",
]
BAD = [
    "dhcp4: maybe",
    "dhcp4: 2",
    "dhcp: true",
    "dhcp44: true",
    "addresses: [10.0.0.5]",
    "addresses: [10.0.0.5/33]",
    "addresses: [10.0.0.500/24]",
    "addresses: 10.0.0.5/24",
    "addresses: [10.0.0.5/255.255.255.0]",
    "gateway4: fe80::1",
    "gateway4: 10.0.0",
    "gateway6: 10.0.0.1",
    "set-name: eth0\n      dhcp4: true",
    "match: {mac: '52:54:00:00:00:01'}",
    "match: {macaddress: '52:54:00:00:01'}",
    "match: {macaddress: nonsense}",
    "match: [a]",
    "nameservers: {address: [1.1.1.1]}",
    "nameservers: {addresses: [dns.example]}",
    "routes: [{via: 10.0.0.1}]",
    "routes: [{to: default, via: gateway}]",
    "routes: [{to: nowhere, via: 10.0.0.1}]",
    "renderer: wicked\n      dhcp4: true",
    "\tdhcp4: true",
    "dhcp4: true\n     dhcp6: true",
    "dhcp4: [true",
    "dhcp4: {a: b}",
    "interfaces: [a]",
]
_HEAD = "network:\n  version: 2\n  ethernets:\n    ens3: {}\n"
WHOLE = [
    "",
    "network:\n",
    "network:\n  version: 2\n",
    "network:\n  version: 1\n",
    "network:\n  version: two\n",
    "network: []\n",
    "network: ~\n",
    "~\n",
    "null\n",
    "---\n",
    "network:\n  version: 2\n  ethernets:\n",
    "network:\n  version: 2\n  ethernets: ~\n",
    "network:\n  version: 2\n  ethernets:\n    ens3:\n",
    "network:\n  version: 2\n  ethernets:\n    ens3: null\n",
    "network:\n  version: 2\n  ethernets:\n    ens3:\n      match:\n      dhcp4: true\n",
    "network:\n  version: 2\n  ethernets:\n    ens3:\n      dhcp4:\n",
    "network:\n  version: 2\n  ethernets:\n    ens3:\n      addresses:\n",
    "network:\n  version: 2\n  ethernets:\n    ens3:\n      nameservers:\n      routes:\n",
    "network:\n  version:\n  ethernets:\n    ens3: {}\n",
    "network:\n  version: 2\n  renderer:\n",
    "networks:\n  version: 2\n",
    "- a\n",
    "network:\n  version: 2\n  ethernet:\n    ens3: {dhcp4: true}\n",
    "network:\n  version: 2\n  renderer: foo\n",
    "network:\n  version: 2\n  ethernets: []\n",
    "network:\n  version: 2\n  ethernets:\n    ens3: []\n",
    "network:\n  version: 2\n  ethernets:\n    ens3: {}\n",
    "network:\n  version: 2\n  ethernets:\n    ens3:\n      dhcp4: true\n    ens3:\n      dhcp4: false\n",
    "network:\n  version: 2\n  bridges:\n    br0:\n      interfaces: [ens3]\n      dhcp4: true\n",
    _HEAD + "  bridges:\n    br0:\n      interfaces: [ens3]\n      dhcp4: true\n",
    _HEAD + "  bonds:\n    bond0:\n      interfaces: [ens3, ens4]\n",
    _HEAD + "  vlans:\n    v10: {id: 10, link: ens3, dhcp4: true}\n",
    _HEAD + "  vlans:\n    v10: {link: ens3, dhcp4: true}\n",
    _HEAD + "  vlans:\n    v10: {id: 10, dhcp4: true}\n",
    "network:\n  version: 2\n  ethernets: &e\n    ens3: &a {dhcp4: true}\n    ens4: *a\n",
    "network:\n  version: 2\n  ethernets:\n    ens3:\n      <<: {dhcp4: true}\n",
    "# nothing\n",
    "network:\n  ethernets:\n    ens3:\n      dhcp4: true\n",
    "version: 2\nethernets:\n  ens3: {dhcp4: true}\n",
]
REFUSED = re.compile(r"(?P<file>/\S+\.yaml):(?P<line>\d+):\d+: (?P<what>.*)")
MERGED, SEED = 60, 20260301


def cases() -> list[dict[str, str]]:
    """Each case: file names to texts."""
    block = "network:\n  version: 2\n  ethernets:\n    ens3:\n      %s\n"
    found = [{"a.yaml": block % body} for body in (*GOOD, *BAD)] + [{"a.yaml": text} for text in WHOLE]
    found += [{"a.yaml": block % f"{one}\n      {other}"} for one in GOOD[:6] for other in BAD[:6]]
    chance = random.Random(SEED)  # noqa: S311
    for _ in range(MERGED):
        names = chance.sample(["10-a.yaml", "50-b.yaml", "99-c.yaml"], chance.choice([2, 3]))
        bodies = [chance.choice(GOOD) for _ in names]
        found.append(
            {
                n: (block % b).replace("ens3", chance.choice(["ens3", "ens4"]))
                for n, b in zip(names, bodies, strict=True)
            }
        )
    return found


def ours(files: dict[str, str]) -> netplan.Netplan:
    guest = MemoryGuest()
    for name, text in files.items():
        guest.file(f"/etc/netplan/{name}", text, mode=0o600)
    return netplan.read_netplan(guest)


def real(tool: Tool, folder: Path, files: dict[str, str]) -> tuple[int, str]:
    place = folder / "etc/netplan"
    place.mkdir(parents=True)
    for name, text in files.items():
        (place / name).write_text(text)
        (place / name).chmod(0o600)
    run = tool.run("--root-dir", folder)
    return run.returncode, run.stderr


def what_cards_get(found: Configuration) -> tuple[object, ...]:
    """What the generated .network says, and what we say."""
    return (
        tuple(sorted(found.match.names)), found.match.macs, tuple(d for d in found.dhcp if d != "ra"),
        tuple(sorted(found.addresses)),
    )  # fmt: skip


def difference(tool: Tool, folder: Path, files: dict[str, str]) -> str:
    status, said = real(tool, folder, files)
    plan = ours(files)
    if bool(status) != bool(plan.problems):
        return f"{files}: netplan {status} {said!r}, we {plan.problems}"
    if status:
        at = REFUSED.search(said)
        lines = {(p.place.path.name, p.place.line) for p in plan.problems}
        if at is not None and (Path(at["file"]).name, int(at["line"])) not in lines:
            return f"{files}: netplan {at.group()!r}, we {lines}"
        return ""
    for configuration in netplan.configurations(plan).configurations:
        path = folder / f"run/systemd/network/10-netplan-{configuration.name}.network"
        if not path.exists():
            if configuration.is_useful:
                return f"{files}: netplan generates nothing for {configuration.name}"
            continue
        generated = configuration_of(layered([(GuestPath("/x.network"), path.read_bytes())]))
        told, said_so = what_cards_get(configuration), what_cards_get(generated)
        renamed = plan.definitions[configuration.name].text("set-name")
        if renamed:
            told, said_so = told[1:], said_so[1:]
        if told != said_so:
            return f"{files}: {configuration.name}: netplan {said_so}, we {told}"
    return ""


@pytest.mark.skipif(os.geteuid() != 0, reason="netplan's generator wants root's files")
def test_netplan_refuses_and_generates_what_we_say(tmp_path: Path) -> None:
    tool = Tool("usr/libexec/netplan/generate", "usr/lib/netplan/generate", "lib/netplan/generate")
    every = cases()

    def one(numbered: tuple[int, dict[str, str]]) -> str:
        number, files = numbered
        return difference(tool, tmp_path / str(number), files)

    with ThreadPoolExecutor(max_workers=3) as pool:
        differences = [d for d in pool.map(one, enumerate(every)) if d]
    print(f"netplan: {len(every) - len(differences)} of {len(every)} configurations agree with its generator")
    assert not differences, "\n".join(differences)
