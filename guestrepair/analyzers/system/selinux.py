"""The rule on SELinux's configuration."""

from __future__ import annotations

from collections.abc import Iterator

from guestrepair.analyzers.base import Rule
from guestrepair.formats import selinux_config
from guestrepair.formats.selinux_config import Setting
from guestrepair.guest.view import Guest
from guestrepair.model import Edit, EditFile, Evidence, Finding, GuestPath, Repair, Safety, Severity

SELINUX_CONFIG = Rule(
    name="system/selinux-config",
    summary="SELinux is to be enforced with a policy that is not there",
    severities=(Severity.ERROR, Severity.WARNING),
    safeties=(Safety.REVIEW, Safety.MANUAL),
    what="/etc/selinux/config names a policy without a policy file, or a mode that does not exist.",
    why="systemd stops the boot: 'Failed to load SELinux policy, freezing'.",
    repair="Name the one policy that is there; where there is none, permissive instead of enforcing.",
    example="SELINUXTYPE=targetted",
    sources=("selinux_config(5)", "systemd src/core/selinux-setup.c"),
)
RULES = (SELINUX_CONFIG,)

_CONFIG = GuestPath("/etc/selinux/config")
_TOP = GuestPath("/etc/selinux")
_SELINUX_FAMILIES = frozenset({"rhel", "fedora", "centos", "rocky", "almalinux", "ol", "amzn"})
_BOOT_CONFIGS = ("/boot/grub2/grub.cfg", "/boot/grub/grub.cfg", "/boot/grub2/grubenv", "/etc/kernel/cmdline")


def check(guest: Guest) -> Iterator[Finding]:
    """All findings on SELinux; none where the kernel does not start it."""
    data = guest.read_if_there(_CONFIG)
    if not data or not _is_used(guest):
        return
    settings = selinux_config.parse(data)
    mode, policy = settings.get("SELINUX"), settings.get("SELINUXTYPE")
    if mode is not None and mode.value.lower() not in selinux_config.MODES:
        yield _mode_unknown(data, mode)
        return
    if mode is None or mode.value.lower() == "disabled":
        return
    name = policy.value if policy is not None else "targeted"
    if _has_policy(guest, name):
        return
    yield _policy_missing(guest, data, mode, policy, name)


def _is_used(guest: Guest) -> bool:
    """The distribution's kernels start SELinux by themselves, or the command line asks for it."""
    lines = b"".join(guest.read_if_there(GuestPath(p)) or b"" for p in _BOOT_CONFIGS)
    if b"selinux=0" in lines:
        return False
    return bool({guest.os.distro, *guest.os.id_like} & _SELINUX_FAMILIES) or b"security=selinux" in lines


def _has_policy(guest: Guest, name: str) -> bool:
    if not name or "/" in name:
        return False
    return any(guest.is_file(path) for path in guest.glob(_TOP / name / "policy", "policy.*"))


def _mode_unknown(data: bytes, mode: Setting) -> Finding:
    place = f"{_CONFIG}:{mode.line}"
    edit = Edit(offset=mode.offset, length=mode.length, text=b"permissive")
    return Finding(
        rule=SELINUX_CONFIG.name,
        severity=Severity.WARNING,
        subject=place,
        message=f"{place}: SELINUX={mode.value} is no mode of SELinux",
        evidence=(Evidence(place, mode.value, " or ".join(selinux_config.MODES)),),
        repair=Repair(
            f"set SELINUX=permissive in {_CONFIG}",
            Safety.REVIEW,
            (EditFile(path=_CONFIG, before=data, edits=(edit,)),),
        ),
    )


def _policy_missing(guest: Guest, data: bytes, mode: Setting, policy: Setting | None, name: str) -> Finding:
    others = [n for n in guest.listdir(_TOP) if _has_policy(guest, n)] if guest.is_directory(_TOP) else []
    if len(others) == 1 and policy is not None:
        edit = Edit(
            offset=policy.offset, length=policy.length, text=others[0].encode("utf-8", "surrogateescape")
        )
        summary = f"set SELINUXTYPE={others[0]}, the policy that is there"
    else:
        edit = Edit(offset=mode.offset, length=mode.length, text=b"permissive")
        summary = "set SELINUX=permissive; then install the policy and relabel"
    enforcing = mode.value.lower() == "enforcing"
    place = f"{_CONFIG}:{policy.line if policy is not None else mode.line}"
    changes = (EditFile(path=_CONFIG, before=data, edits=(edit,)),)
    manual = not enforcing and len(others) != 1
    return Finding(
        rule=SELINUX_CONFIG.name,
        severity=Severity.ERROR if enforcing else Severity.WARNING,
        subject=place,
        message=f"{place}: policy {name} of SELinux is not there"
        + (": systemd stops the boot in enforcing mode" if enforcing else ""),
        evidence=(
            Evidence(f"{_TOP}/{name}/policy", "no policy file", "policy.NN"),
            Evidence(f"{_CONFIG}:{mode.line}", f"SELINUX={mode.value}"),
        ),
        repair=Repair("install the policy's package in the guest", Safety.MANUAL)
        if manual
        else Repair(summary, Safety.REVIEW, changes),
    )
