"""Our reading of NetworkManager's key files against nmcli: what it takes, and what that means."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor

from guestrepair.guest.memory import MemoryGuest
from guestrepair.system.network import network_manager
from tests.oracle.network_tools import Tool

ADDRESSES = (
    "method=auto",
    "method=disabled",
    "method=manual\naddress1=10.0.0.5/24,10.0.0.1",
    "method=manual\naddress1=10.0.0.5/24\naddress2=10.0.0.6/24\ngateway=10.0.0.1",
    "method=manual",
    "method=manual\naddress1=nonsense",
    "method=manual\naddress1=10.0.0.5/33",
    "method=manual\naddresses=10.0.0.5/24",
)
BOUND = ("", "interface-name=ens3\n", "autoconnect=false\n")
CARDS = ("[ethernet]\n", "[ethernet]\nmac-address=52:54:00:00:00:01\n", "[802-3-ethernet]\n")
EXTRA = ("", "# a comment\n", "nonsense\n")
FIELDS = (
    "connection.interface-name,connection.autoconnect,802-3-ethernet.mac-address,ipv4.method,ipv4.addresses"
)


def cases() -> list[str]:
    found = []
    for number, (ipv4, bound, card, extra) in enumerate(itertools.product(ADDRESSES, BOUND, CARDS, EXTRA)):
        head = f"[connection]\nid=x\nuuid=5f1d2c34-0b6e-4c39-9d5a-{number:012d}\ntype=ethernet\n"
        found.append(f"{head}{bound}\n{extra}{card}\n[ipv4]\n{ipv4}\n")
    return found


def ours(text: str) -> list[str] | None:
    guest = MemoryGuest()
    guest.file("/etc/NetworkManager/system-connections/x.nmconnection", text, mode=0o600)
    found = network_manager.configurations(network_manager.read_profiles(guest))
    if any(p.stops for p in found.problems):
        return None
    (only,) = found.configurations
    return [
        only.match.names[0] if only.match.names else "",
        "yes" if only.at_boot else "no",
        only.match.macs[0] if only.match.macs else "",
        ", ".join(a.partition("/")[0] for a in only.addresses),
    ]


def theirs(tool: Tool, text: str) -> list[str] | None:
    """``connection modify`` reads the profile, and prints it again."""
    run = tool.run("--offline", "connection", "modify", "connection.id", "y", stdin=text)
    if run.returncode:
        return None
    found = {}
    group = ""
    for line in run.stdout.splitlines():
        if line.startswith("["):
            group = line
        key, _, value = line.partition("=")
        found[group, key] = value
    addresses = [v for (g, k), v in found.items() if g == "[ipv4]" and k.startswith("address")]
    return [
        found.get(("[connection]", "interface-name"), ""),
        "no" if found.get(("[connection]", "autoconnect")) == "false" else "yes",
        found.get(("[ethernet]", "mac-address"), ""),
        ", ".join(a.partition("/")[0] for a in addresses),
    ]


def test_nmcli_reads_the_profiles_as_we_do() -> None:
    tool = Tool("usr/bin/nmcli")
    every = cases()

    def one(text: str) -> str:
        real, mine = theirs(tool, text), ours(text)
        return "" if real == mine else f"{text!r}: nmcli {real}, we {mine}"

    with ThreadPoolExecutor(max_workers=3) as pool:
        differences = [d for d in pool.map(one, every) if d]
    print(f"keyfile: {len(every) - len(differences)} of {len(every)} profiles agree with nmcli --offline")
    assert not differences, "\n".join(differences)
