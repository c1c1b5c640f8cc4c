"""Verdicts on firewalls against a kernel's: real connections through rulesets that a kernel has loaded.

None may be called wrongly, and not more than a fifth may be left undecided.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from guestrepair.errors import FormatError
from guestrepair.formats.firewall.iptables import parse_iptables
from guestrepair.formats.firewall.nft import parse_nft
from guestrepair.formats.firewall.rules import Ruleset
from guestrepair.system.firewall.firewall import share_a_table
from guestrepair.system.firewall.packets import packets_of_a_login
from guestrepair.system.firewall.walk import Answer, Passage, ask, worst
from tests.oracle import firewall_cases

WORKER = Path(__file__).with_name("firewall_worker.py")
NAMESPACE = ("unshare", "-rn")
WORKERS = 12
"""A kernel that drops packets is waited for, half a second a ruleset: many wait side by side."""
SERVICES = {"ssh": 22, "http": 80, "https": 443}
PORT = 22


@cache
def why_not() -> str:
    """Why this machine cannot judge; empty where it can."""
    for program in ("unshare", "nsenter", "ip", "nft", "iptables-restore"):
        if shutil.which(program) is None and not Path("/usr/sbin", program).exists():
            return f"{program} is not installed"
    tried = subprocess.run(
        [*NAMESPACE, "nft", "list", "ruleset"], capture_output=True, text=True, check=False
    )
    return tried.stderr.strip()[:200] if tried.returncode else ""


pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not() or "it can")


@dataclass(frozen=True)
class Case:
    """A text for one program, and where there is one, a second for another that is loaded after it."""

    program: str
    text: str
    second: tuple[str, str] | None = None

    @property
    def rules(self) -> dict[str, str]:
        return {self.program: self.text} | (dict([self.second]) if self.second else {})


class OneFile:
    """nft's source: the file of the case."""

    def __init__(self, text: str) -> None:
        self._text = text

    def glob(self, _pattern: str) -> tuple[str, ...]:
        return ()

    def read(self, _path: str) -> bytes:
        return self._text.encode()


def judged(cases: list[Case]) -> Iterator[tuple[Case, dict[str, bool] | None]]:
    """What the kernel does with each; None where the program refuses to load it."""
    shares = [cases[start::WORKERS] for start in range(WORKERS)]
    with ThreadPoolExecutor(WORKERS) as pool:
        for share, answers in zip(shares, pool.map(_ask_kernel, shares), strict=True):
            yield from zip(share, answers, strict=True)


def _ask_kernel(cases: list[Case]) -> list[dict[str, bool] | None]:
    ports = [[4, PORT], [6, PORT]]
    lines = [json.dumps({"rules": case.rules, "ask": ports}) for case in cases]
    done = subprocess.run(
        [*NAMESPACE, sys.executable, str(WORKER)],
        input="\n".join(lines) + "\n",
        capture_output=True,
        text=True,
        timeout=600,
        check=True,
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()[1:]]
    assert len(answers) == len(cases), done.stderr
    return [answer["open"] if answer["loaded"] else None for answer in answers]


def read(case: Case) -> Ruleset | None:
    """The ruleset as it is read from the text; None where it is not understood."""
    try:
        if case.program == "nft":
            return parse_nft("/etc/nftables.conf", OneFile(case.text), SERVICES)
        family = "ip6" if case.program.startswith("ip6") else "ip"
        return parse_iptables(case.text.encode(), "/etc/iptables/rules", family, SERVICES)
    except FormatError:
        return None


def passage(case: Case, family: int) -> Passage:
    ruleset = read(case)
    if ruleset is None:
        return Passage(Answer.UNKNOWN)
    found = worst([ask(ruleset, packet) for packet in packets_of_a_login(PORT, family)])
    return Passage(Answer.UNKNOWN) if ruleset.doubts and found.answer is not Answer.OPEN else found


def answer(case: Case, family: int) -> Answer:
    found = [passage(case, family)]
    if case.second is not None:
        one, other = read(case), read(Case(*case.second))
        if one is None or other is None or share_a_table(one, other):
            return Answer.UNKNOWN
        found.append(passage(Case(*case.second), family))
    return worst(found).answer


def compare(cases: list[Case]) -> tuple[Counter[str], list[str]]:
    """How many of each kind of answer, and those that the kernel contradicts."""
    counts: Counter[str] = Counter()
    wrong = []
    for case, opened in judged(cases):
        if opened is None:
            counts["refused by the program"] += 1
            continue
        for family in (4, 6):
            said = answer(case, family)
            is_open = opened[f"{family}:{PORT}"]
            counts[str(said)] += 1
            if (said is Answer.OPEN and not is_open) or (said is Answer.CLOSED and is_open):
                wrong.append(f"IPv{family}: called {said}, is {'open' if is_open else 'closed'}\n{case.text}")
    return counts, wrong


def check(name: str, cases: list[Case]) -> None:
    counts, wrong = compare(cases)
    total = sum(n for kind, n in counts.items() if kind != "refused by the program")
    undecided = counts["unknown"] + counts["limited"]
    print(f"{name}: {len(cases)} rulesets, {total} verdicts: {dict(counts)}, {len(wrong)} wrong")
    assert not wrong, "\n\n".join(wrong[:5])
    assert counts["unknown"] * 5 <= total
    assert undecided * 3 <= total
    assert counts["refused by the program"] * 10 <= len(cases)


def test_nft_as_the_kernel_does() -> None:
    texts = [*firewall_cases.nft_by_hand(), *firewall_cases.nft_random(150)]
    check("nft", [Case("nft", text) for text in texts])


def test_iptables_as_the_kernel_does() -> None:
    texts = [*firewall_cases.iptables_by_hand(), *firewall_cases.iptables_random(80)]
    cases = [Case("iptables-restore", text) for text in texts]
    cases += [Case("iptables-legacy-restore", text) for text in texts[::4]]
    check("iptables", cases)


def test_two_at_once_as_the_kernel_does() -> None:
    first = list(firewall_cases.nft_random(60, seed=60))
    first[::2] = [text.replace(" filter {", " own {") for text in first[::2]]  # not in iptables' tables
    second = list(firewall_cases.iptables_random(60, seed=80))
    programs = ("iptables-restore", "iptables-legacy-restore")
    cases = [
        Case("nft", one, (programs[number % 2], other))
        for number, (one, other) in enumerate(zip(first, second, strict=True))
    ]
    check("nft and iptables", cases)
