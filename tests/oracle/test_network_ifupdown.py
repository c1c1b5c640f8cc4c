"""Our reading of /etc/network/interfaces against the real ifquery: refused, started, configured."""

from __future__ import annotations

import random
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from guestrepair.guest.memory import MemoryGuest
from guestrepair.system.network import ifupdown
from guestrepair.system.network.model import Parsed
from tests.oracle.network_tools import Tool

GOOD = [
    "auto ens3\niface ens3 inet dhcp",
    "allow-hotplug ens3\niface ens3 inet dhcp\niface ens3 inet6 auto",
    "auto ens3\niface ens3 inet static\n  address 10.0.0.5/24\n  gateway 10.0.0.1",
    "auto ens3\niface ens3 inet static\n  address 10.0.0.5\n  netmask 255.255.255.0",
    "auto ens3 ens4\niface ens3 inet dhcp\niface ens4 inet manual",
    "allow-auto ens3\niface ens3 inet static\n\taddress 10.0.0.5/24",
    "iface ens3 inet dhcp",
    "# a comment\nauto ens3\n\niface ens3 inet dhcp\n  # inside\n  hostname x",
    "auto \\\n  ens3\niface ens3 inet dhcp",
    "auto br0\niface br0 inet dhcp\n  bridge_ports ens3\niface ens3 inet manual",
    "auto bond0\niface bond0 inet static\n  address 10.0.0.5/24\n  bond-slaves ens3 ens4",
    "auto ens3\niface ens3 inet static\n  address 10.0.0.5/24\niface ens3 inet static\n  address 10.0.0.6/24",
    "auto ens3\niface ens3 inet6 static\n  address 2001:db8::5/64\n  gateway fe80::1",
    "auto ens3=home\niface home inet dhcp",
    "auto ens3\niface base inet static\n  address 10.0.0.5/24\niface ens3 inet static inherits base",
    "no-auto-down ens3\nauto ens3\niface ens3 inet dhcp",
]
BAD = [
    "iface",
    "auto ens3\niface ens3 inet",
    "auto ens3\niface ens3 inet4 dhcp",
    "auto ens3\niface ens3 inet dhcpp",
    "address 10.0.0.5",
    "nonsense here",
    "auto ens3\n  address 10.0.0.5",
    "iface ens3 ipv4 static\n  address 10.0.0.5",
    "iface ens3 inet dhcp\n\nmapping\n",
]
MIXED, SEED = 90, 20260302


def cases() -> list[str]:
    found = [*GOOD, *BAD]
    chance = random.Random(SEED)  # noqa: S311
    for _ in range(MIXED):
        parts = ["auto lo\niface lo inet loopback"] * chance.randint(0, 1)
        parts += chance.sample(GOOD, chance.randint(1, 2))
        if chance.random() < 0.4:
            parts.insert(chance.randint(0, len(parts)), chance.choice(BAD))
        text = "\n".join(parts)
        for name in ("ens3", "ens4", "br0", "bond0", "home", "base"):
            text = text.replace(name, chance.choice((name, name, "eth7")))
        found.append(text)
    return [text + "\n" for text in found]


def ours(text: str) -> Parsed:
    guest = MemoryGuest()
    guest.file("/etc/network/interfaces", text)
    return ifupdown.read_ifupdown(guest, is_ng=False)


def difference(tool: Tool, path: Path, text: str) -> str:
    path.write_text(text)
    listed = [tool.run(f"--interfaces={path}", "--list", f"--allow={k}") for k in ("auto", "hotplug")]
    refused = any(run.returncode for run in listed)
    parsed = ours(text)
    fatal = [p for p in parsed.problems if "whole" in p.consequence]
    if refused != bool(fatal):
        return f"{text!r}: ifquery {[r.stderr for r in listed]}, we {parsed.problems}"
    if refused:
        at = re.search(rf"{re.escape(str(path))}:(\d+):", "".join(r.stderr for r in listed))
        if at is not None and int(at[1]) not in {p.place.line for p in fatal}:
            return f"{text!r}: line {at[0]}, we {fatal}"
        return ""
    # ifquery lists what has an iface stanza, by its physical name.
    started = {name for run in listed for name in run.stdout.split()} - {"lo"}
    said = {n for c in parsed.configurations if c.at_boot and not c.part_of for n in c.match.names}
    known = {n for c in parsed.configurations for n in c.match.names}
    if not started & known <= said | {c.match.names[0] for c in parsed.configurations if c.part_of}:
        return f"{text!r}: ifquery starts {started}, we {said}"
    if not said <= started | {c.match.names[0] for c in parsed.configurations if c.part_of}:
        return f"{text!r}: ifquery starts {started}, we {said}"
    for configuration in parsed.configurations:
        told = tool.run(f"--interfaces={path}", configuration.name).stdout
        addresses = set(re.findall(r"^address: (\S+)", told, re.MULTILINE))
        mine = {a.partition("/")[0] for a in configuration.addresses}
        if "inherits" not in text and mine != {a.partition("/")[0] for a in addresses}:
            return f"{text!r}: {configuration.name}: ifquery {addresses}, we {mine}"
    return ""


def test_ifquery_refuses_starts_and_configures_what_we_say(tmp_path: Path) -> None:
    tool = Tool("sbin/ifquery", "usr/sbin/ifquery")
    every = cases()

    def one(numbered: tuple[int, str]) -> str:
        return difference(tool, tmp_path / str(numbered[0]), numbered[1])

    with ThreadPoolExecutor(max_workers=3) as pool:
        differences = [d for d in pool.map(one, enumerate(every)) if d]
    print(f"ifupdown: {len(every) - len(differences)} of {len(every)} configurations agree with ifquery")
    assert not differences, "\n".join(differences)


def test_a_pattern_in_an_auto_line_takes_a_card_to_what_stands_under_another_name(tmp_path: Path) -> None:
    """The repair of a pinned name: the real ifup, on a card of this host, without doing anything."""
    cards = sorted(p.name for p in Path("/sys/class/net").iterdir() if p.name != "lo")
    if not cards:
        pytest.skip("this host has no network interface but the loopback")
    tool = Tool("sbin/ifup", "usr/sbin/ifup")
    path = tmp_path / "interfaces"
    path.write_text(f"auto /{cards[0]}*/1=ens192\niface ens192 inet static\n  address 192.0.2.5/24\n")
    said = tool.run("--no-act", "-a", "-v", f"--interfaces={path}", f"--state-dir={tmp_path}")
    assert said.returncode == 0, said.stderr
    assert re.findall(r"configuring interface (\S+=ens192)", said.stderr) == [f"{cards[0]}=ens192"]
    assert "192.0.2.5" in said.stdout + said.stderr
