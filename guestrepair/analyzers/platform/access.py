"""How the platform and its users get at the guest: an address by DHCP, the agent, sshd's settings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from guestrepair.analyzers.base import Context, Rule
from guestrepair.analyzers.platform.asking import PAGE, Unmet, cannot_tell, listed, not_met
from guestrepair.formats.sshd_config.numbers import seconds
from guestrepair.model import (
    Effect,
    Evidence,
    Finding,
    GuestPath,
    Inconclusive,
    Repair,
    Safety,
    Severity,
    Subject,
)
from guestrepair.platforms.model import Asked, asked, of_kind
from guestrepair.platforms.parameters import AGENTS, Agent, Clean, SshdSetting
from guestrepair.system.fact import Unreadable, attempt
from guestrepair.system.sshd.defaults import default_of
from guestrepair.system.sshd.sshd import Sshd

NO_DHCP = Rule(
    name="platform/no-dhcp",
    summary="no network card asks for its address, as the platform wants it",
    severities=(Severity.ERROR, Severity.WARNING),
    effect=Effect.STOPS_LOGIN,
    safeties=(Safety.MANUAL,),
    what="All configuration that comes into force at boot has static addresses, and nothing asks by DHCP.",
    why="The platform gives each machine an address of its own; one that keeps its old one is not reached.",
    repair="Configure the first card for DHCP; by hand, since the static address may be wanted elsewhere.",
    example="iface eth0 inet static in a guest that moves to a cloud",
    sources=("netplan(5), dhcp4", "interfaces(5)", PAGE),
)
AGENT = Rule(
    name="platform/agent-missing",
    summary="no program of the platform that prepares the guest is installed",
    severities=(Severity.WARNING, Severity.NOTE, Severity.ERROR),
    effect=Effect.DEGRADES,
    safeties=(Safety.MANUAL,),
    what="None of the platform's agents (cloud-init and its like) is there.",
    why="Keys, users and the host name that the platform hands to a new machine are not set up.",
    repair="Install one of them with the guest's package manager; by hand.",
    example="no cloud-init and no waagent on Azure",
    sources=(PAGE,),
)
SSHD_SETTING = Rule(
    name="platform/sshd-setting",
    summary="sshd is not set as the platform asks",
    severities=(Severity.WARNING, Severity.NOTE, Severity.ERROR),
    effect=Effect.HYGIENE,
    safeties=(Safety.MANUAL,),
    what="A setting of sshd outside of Match blocks (by itself or by its default) has not the value that the"
    " platform asks for.",
    why="The platform's load balancers cut silent connections; its marketplace refuses images that let in by"
    " password.",
    repair="Write the setting in sshd_config; by hand, as it decides who gets in.",
    example="no ClientAliveInterval on Azure",
    sources=("sshd_config(5)", PAGE),
)
RULES = (NO_DHCP, AGENT, SSHD_SETTING)


def check_dhcp(context: Context) -> Iterator[Finding | Inconclusive]:
    """no-dhcp."""
    wanted = tuple(of_kind(asked(context.platforms, NO_DHCP.name), Clean))
    network = context.system.network
    if not wanted or network.writes_anew or network.makes_default:
        return
    reached = [r.configuration for r in network.in_force]
    if any(set(c.dhcp) & {"dhcp4", "dhcp6"} for c in reached):
        return
    if network.unknown or not reached or all(c.part_of for c in reached):
        reason = network.unknown[0] if network.unknown else "no card, or only a bridge or bond, is configured"
        for each, _ in wanted:
            yield cannot_tell(each, "whether its card asks for an address", reason)
        return
    first = reached[0]
    addresses = ", ".join(first.addresses) or "none"
    yield not_met(
        NO_DHCP,
        Subject.of_path(first.place.path),
        f"{first.manager} gives {first.name} the address {addresses}, and no card asks by DHCP",
        [Unmet(each, "DHCP on the first card") for each, _ in wanted],
        evidence=[Evidence(str(c.place), f"{c.name}: {', '.join(c.addresses)}", "DHCP") for c in reached[:5]],
        repair=Repair(f"configure DHCP in {first.place.path}, for any Ethernet card", Safety.MANUAL),
    )


def check_agent(context: Context) -> Iterator[Finding]:
    """agent-missing."""
    files = context.system.files
    missing: dict[str, list[Unmet]] = {}
    for each, agent in of_kind(asked(context.platforms, AGENT.name), Agent):
        places = [path for name in agent.any for path in AGENTS[name]]
        if not any(files.is_file(GuestPath(path)) for path in places):
            missing.setdefault(places[0], []).append(Unmet(each, listed(agent.any)))
    for path, unmet in missing.items():
        yield not_met(
            AGENT,
            Subject.of_path(GuestPath(path)),
            f"{path} is not there, nor another program for the same",
            unmet,
            evidence=[Evidence(path, "no such file", each.wants) for each in unmet],
            repair=Repair(f"install {unmet[0].wants} with the guest's package manager", Safety.MANUAL),
        )


def check_sshd(context: Context) -> Iterator[Finding | Inconclusive]:
    """sshd-setting."""
    wanted = tuple(of_kind(asked(context.platforms, SSHD_SETTING.name), SshdSetting))
    sshds = attempt(lambda: context.system.sshds) if wanted else ()
    if isinstance(sshds, Unreadable):
        for each, _ in wanted:
            yield cannot_tell(each, "how sshd is set", sshds.error.message)
        return
    for sshd in sshds[:1]:
        yield from _settings(sshd, wanted)


def _settings(sshd: Sshd, wanted: Sequence[tuple[Asked, SshdSetting]]) -> Iterator[Finding]:
    """One finding for each line that sets something otherwise, and one for all that nothing sets."""
    lines: dict[str, tuple[Subject, list[Unmet], dict[str, str]]] = {}
    for each, setting in wanted:
        name = setting.name.lower()
        found = sshd.settings.first(name)
        value = sshd.settings.text(name, default_of(name, sshd.server.release))
        if _holds(setting, value):
            continue
        subject = (
            Subject.of_path(sshd.config_path)
            if found is None
            else Subject.of_line(GuestPath(found.place.file), found.place.line)
        )
        _, unmet, values = lines.setdefault(str(subject), (subject, [], {}))
        unmet.append(Unmet(each, _wish(setting)))
        values[setting.name] = value if found is not None else f"{value} by default"
    for subject, unmet, values in lines.values():
        yield not_met(
            SSHD_SETTING,
            subject,
            f"{subject}: {', '.join(f'{name} is {value}' for name, value in values.items())}",
            unmet,
            evidence=[Evidence(str(subject), f"{name} {value}") for name, value in values.items()],
            repair=Repair(f"write {unmet[0].wants} in {sshd.config_path}", Safety.MANUAL),
        )


def _holds(setting: SshdSetting, value: str) -> bool:
    if setting.any:
        return value.lower() in {word.lower() for word in setting.any}
    number = seconds(value)
    return number is not None and setting.least <= number <= setting.most


def _wish(setting: SshdSetting) -> str:
    if setting.any:
        return f"{setting.name} {listed(setting.any)}"
    return f"{setting.name} from {setting.least} to {setting.most}"


CHECKS = (check_dhcp, check_agent, check_sshd)
