"""The rule on SELinux's configuration."""

from __future__ import annotations

from collections.abc import Iterator

from guestrepair.analyzers.base import Context, Rule
from guestrepair.formats import selinux_config
from guestrepair.formats.selinux_config import Setting
from guestrepair.model import Edit, EditFile, Effect, Evidence, Finding, Repair, Safety, Severity, Subject
from guestrepair.system.selinux import CONFIG, TOP, SelinuxConfig

SELINUX_CONFIG = Rule(
    name="system/selinux-config",
    summary="SELinux is to be enforced with a policy that is not there",
    severities=(Severity.ERROR, Severity.WARNING),
    effect=Effect.STOPS_BOOT,
    safeties=(Safety.REVIEW, Safety.MANUAL),
    what="/etc/selinux/config names a policy without a policy file, or a mode that does not exist.",
    why="systemd stops the boot: 'Failed to load SELinux policy, freezing'.",
    repair="Name the one policy that is there; where there is none, permissive instead of enforcing.",
    example="SELINUXTYPE=targetted",
    sources=("selinux_config(5)", "systemd src/core/selinux-setup.c"),
)
RULES = (SELINUX_CONFIG,)


def check(context: Context) -> Iterator[Finding]:
    """All findings on SELinux; none where the kernel does not start it."""
    selinux = context.system.selinux
    config = selinux.config
    if config is None or not selinux.is_started:
        return
    mode = config.mode
    if mode is not None and mode.value.lower() not in selinux_config.MODES:
        yield _mode_unknown(config, mode)
        return
    if mode is None or mode.value.lower() == "disabled":
        return
    if not selinux.has_policy(config.policy_name):
        yield _policy_missing(config, mode, selinux.policies)


def _changed(config: SelinuxConfig, setting: Setting, value: str) -> EditFile:
    text = value.encode("utf-8", "surrogateescape")
    edit = Edit(offset=setting.offset, length=setting.length, text=text)
    return EditFile(path=CONFIG, before=config.data, edits=(edit,))


def _mode_unknown(config: SelinuxConfig, mode: Setting) -> Finding:
    place = Subject.of_line(CONFIG, mode.line)
    change = _changed(config, mode, "permissive")
    return SELINUX_CONFIG.finding(
        place,
        f"{place}: SELINUX={mode.value} is no mode of SELinux",
        severity=Severity.WARNING,
        evidence=(Evidence(place, mode.value, " or ".join(selinux_config.MODES)),),
        repair=Repair(f"set SELINUX=permissive in {CONFIG}", Safety.REVIEW, (change,)),
    )


def _policy_missing(config: SelinuxConfig, mode: Setting, others: tuple[str, ...]) -> Finding:
    name, policy = config.policy_name, config.policy
    is_enforcing = mode.value.lower() == "enforcing"
    place = Subject.of_line(CONFIG, policy.line if policy is not None else mode.line)
    if len(others) == 1 and policy is not None:
        summary = f"set SELINUXTYPE={others[0]}, the policy that is there"
        repair = Repair(summary, Safety.REVIEW, (_changed(config, policy, others[0]),))
    elif is_enforcing or len(others) == 1:
        summary = "set SELINUX=permissive; then install the policy and relabel"
        repair = Repair(summary, Safety.REVIEW, (_changed(config, mode, "permissive"),))
    else:
        repair = Repair("install the policy's package in the guest", Safety.MANUAL)
    stops = ": systemd stops the boot in enforcing mode" if is_enforcing else ""
    return SELINUX_CONFIG.finding(
        place,
        f"{place}: policy {name} of SELinux is not there{stops}",
        severity=Severity.ERROR if is_enforcing else Severity.WARNING,
        evidence=(
            Evidence(f"{TOP}/{name}/policy", "no policy file", "policy.NN"),
            Evidence(f"{CONFIG}:{mode.line}", f"SELINUX={mode.value}"),
        ),
        repair=repair,
    )
