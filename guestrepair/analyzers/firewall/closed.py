"""ssh-closed: no new connection reaches sshd through the firewall that boot loads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from guestrepair.analyzers.base import Context, Rule
from guestrepair.analyzers.firewall.repairs import opening
from guestrepair.model import (
    Effect,
    Evidence,
    Finding,
    GuestPath,
    Repair,
    Safety,
    Severity,
    Subject,
)
from guestrepair.system.files import guest_path
from guestrepair.system.firewall.firewall import Firewall, Way
from guestrepair.system.firewall.walk import Answer

SSH_CLOSED = Rule(
    name="firewall/ssh-closed",
    summary="the firewall loaded at boot lets no connection to sshd through",
    severities=(Severity.ERROR, Severity.NOTE),
    effect=Effect.STOPS_LOGIN,
    safeties=(Safety.REVIEW,),
    what="The rules that boot loads (nftables, iptables, ufw, firewalld) drop or reject new connections to"
    " every port of sshd from everywhere, or what a connection needs after its first packet."
    " A note says where only some addresses or cards get through, and where it cannot be told: it names"
    " the rule, or the other program, that was not understood.",
    why="Connections time out, or are refused, on every address, while the console works and sshd runs.",
    repair="A rule that accepts sshd's ports, before the rule that drops them, for review: who may log in"
    " is a decision about security. It is only offered where the rules let a login through with it.",
    example="chain input { type filter hook input priority 0; policy drop; ct state established accept; }",
    sources=("nft(8)", "iptables-extensions(8)", "ufw-framework(8)", "firewalld.zone(5)"),
)
_BEST = (Answer.OPEN, Answer.UNKNOWN, Answer.LIMITED, Answer.CLOSED)


def check_ssh(context: Context) -> Iterator[Finding]:
    """ssh-closed."""
    firewall = context.system.firewall
    ways = firewall.ways()
    of_ipv4 = [way for way in ways if way.listening.family == 4]
    judged = of_ipv4 or list(ways)
    if not judged:
        return
    best = _best(judged)
    if best.passage.answer is Answer.CLOSED:
        yield _closed(firewall, judged, ways)
    elif best.passage.answer is not Answer.OPEN:
        yield _note(best, judged)


def _best(ways: Sequence[Way]) -> Way:
    return min(ways, key=lambda way: _BEST.index(way.passage.answer))


def _ports(ways: Sequence[Way]) -> str:
    ports = [str(port) for port in sorted({way.listening.port for way in ways})]
    return f"port {ports[0]}" if len(ports) == 1 else f"ports {', '.join(ports)}"


def _closed(firewall: Firewall, judged: Sequence[Way], ways: Sequence[Way]) -> Finding:
    way = judged[0]
    passage, family = way.passage, way.listening.family
    name = way.loader.name if way.loader is not None else "firewall"
    others = [w for w in ways if w.listening.family != family and w.passage.answer is Answer.OPEN]
    by_rule = any(other.passage.place is not None for other in others)
    rest = ""
    if others:
        rest = f"; IPv{others[0].listening.family} is {'open' if by_rule else 'not filtered'}"
    observed = passage.text or "the policy drops what no rule accepts"
    source = f"{passage.place.file}:{passage.place.line}" if passage.place is not None else passage.chain
    message = (
        f"{source}: the firewall that boot loads ({name}) drops {passage.what} to sshd's {_ports(judged)}"
        f" over IPv{family} from everywhere{rest}: {observed}"
    )
    changes = opening(firewall, family)
    repair = None
    if changes:
        repair = Repair(f"accept connections to {_ports(judged)} in {name}", Safety.REVIEW, changes)
    return SSH_CLOSED.finding(
        _subject(way),
        message,
        severity=Severity.NOTE if by_rule else Severity.ERROR,
        evidence=(
            Evidence(source, observed, f"a rule that accepts tcp {_ports(judged)}"),
            *_loaded_by(way),
        ),
        repair=repair,
    )


def _note(way: Way, judged: Sequence[Way]) -> Finding:
    passage = way.passage
    what = "; ".join(dict.fromkeys(passage.reasons)) or passage.text or "its rules are not understood"
    if passage.answer is Answer.LIMITED:
        message = (
            f"the firewall that boot loads lets only some connections to sshd's {_ports(judged)} through"
        )
    else:
        message = f"whether the firewall lets connections to sshd's {_ports(judged)} through cannot be told"
    return SSH_CLOSED.finding(
        _subject(way),
        f"{message}: {what[:300]}",
        severity=Severity.NOTE,
        evidence=(
            *(Evidence(str(_subject(way)), reason) for reason in passage.reasons[:5]),
            *_loaded_by(way),
        ),
    )


def _subject(way: Way) -> Subject:
    place = way.passage.place
    if place is not None and place.file.startswith("/"):
        return Subject.of_line(guest_path(place.file), place.line)
    if way.loader is not None and way.loader.files:
        return Subject.of_path(guest_path(way.loader.files[0]))
    return Subject.of_path(GuestPath("/etc"))


def _loaded_by(way: Way) -> tuple[Evidence, ...]:
    return () if way.loader is None else (Evidence(way.loader.unit, "started at boot"),)
