"""Loads packet filters into a kernel and tries a login's three packets against them.

Run by itself in a network namespace of its own (``unshare -rn``): it makes a second one, a pair of cards
between the two, listens in the first and connects from the second. One JSON object a line in, one out.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

SERVER = {4: "93.184.216.1", 6: "2a00:1450:4001::1"}
CLIENT = {4: "93.184.216.7", 6: "2a00:1450:4001::7"}
MACS = ("02:00:00:00:00:01", "02:00:00:00:00:02")
PORTS = (22, 2222)
TIMEOUT_SECONDS = 0.5
EMPTY = "".join(
    f"*{table}\n" + "".join(f":{chain} ACCEPT [0:0]\n" for chain in chains.split()) + "COMMIT\n"
    for table, chains in {
        "filter": "INPUT FORWARD OUTPUT",
        "raw": "PREROUTING OUTPUT",
        "mangle": "PREROUTING INPUT FORWARD OUTPUT POSTROUTING",
        "nat": "PREROUTING INPUT OUTPUT POSTROUTING",
    }.items()
)
"""Legacy tables are not flushed with nft's."""


def run(*command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, check=check, capture_output=True, text=True)


def listen(family: int, port: int) -> None:
    """Echo what comes, each connection in a thread of its own."""
    kind = socket.AF_INET if family == 4 else socket.AF_INET6
    server = socket.socket(kind, socket.SOCK_STREAM)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind((SERVER[family], port))
    server.listen(64)
    while True:
        connection, _ = server.accept()
        threading.Thread(target=echo, args=(connection,), daemon=True).start()


def echo(connection: socket.socket) -> None:
    with connection:
        connection.settimeout(2)
        try:
            connection.sendall(connection.recv(16))
        except OSError:
            return


def set_up(client: int) -> None:
    """Two cards, their addresses, and each other's MAC addresses: no packet is needed to learn them."""
    run("ip", "link", "set", "lo", "up")
    run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", str(client))
    inside = ("nsenter", "-t", str(client), "-n")
    for where, mine, other, macs in (((), SERVER, CLIENT, MACS), (inside, CLIENT, SERVER, MACS[::-1])):
        run(*where, "ip", "link", "set", "eth0", "address", macs[0], "up")
        for family, length in ((4, "24"), (6, "64")):
            nodad = ("nodad",) if family == 6 else ()
            run(*where, "ip", "addr", "add", f"{mine[family]}/{length}", "dev", "eth0", *nodad)
            run(*where, "ip", "neigh", "replace", other[family], "lladdr", macs[1], "dev", "eth0")


def load(case: dict[str, str]) -> bool:
    """Load one ruleset into an empty kernel; False where the program refuses it."""
    run("nft", "flush", "ruleset")
    for program in ("iptables-legacy-restore", "ip6tables-legacy-restore"):
        subprocess.run([program], input=EMPTY, text=True, capture_output=True, check=False)
    with tempfile.TemporaryDirectory() as folder:
        for kind, text in case.items():
            file = Path(folder, kind)
            file.write_text(text)
            command = ["nft", "-f", str(file)] if kind == "nft" else [kind, str(file)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                return False
    return True


def connects(family: int, port: int) -> bool:
    """A connection and one byte there and back; run in the client's namespace."""
    kind = socket.AF_INET if family == 4 else socket.AF_INET6
    with socket.socket(kind, socket.SOCK_STREAM) as client:
        client.settimeout(TIMEOUT_SECONDS)
        try:
            client.connect((SERVER[family], port))
            client.sendall(b"x")
            return client.recv(1) == b"x"
        except OSError:
            return False


def try_it(answers: dict[str, bool], family: int, port: int) -> None:
    """Note whether it connects."""
    answers[f"{family}:{port}"] = connects(family, port)


def client() -> None:
    """The other side: a family and a port a line in, whether it connects out."""
    print("ready", flush=True)
    for line in sys.stdin:
        wanted = json.loads(line)
        answers: dict[str, bool] = {}
        threads = [threading.Thread(target=try_it, args=(answers, family, port)) for family, port in wanted]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print(json.dumps(answers), flush=True)


def main() -> None:
    """Serve cases until the input ends."""
    other = subprocess.Popen(
        ["unshare", "-n", sys.executable, __file__, "client"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert other.stdin is not None
    assert other.stdout is not None
    other.stdout.readline()  # it has its own namespace now
    set_up(other.pid)
    for family in (4, 6):
        for port in PORTS:
            threading.Thread(target=listen, args=(family, port), daemon=True).start()
    print("ready", flush=True)
    for line in sys.stdin:
        case = json.loads(line)
        loaded = load(case["rules"])
        answers = {}
        if loaded:
            other.stdin.write(json.dumps(case["ask"]) + "\n")
            other.stdin.flush()
            answers = json.loads(other.stdout.readline())
        print(json.dumps({"loaded": loaded, "open": answers}), flush=True)
    other.stdin.close()
    other.wait(10)


if __name__ == "__main__":
    os.environ["XTABLES_LOCKFILE"] = os.environ.get("XTABLES_LOCKFILE", "/dev/null")
    client() if sys.argv[1:] == ["client"] else main()
