"""cloud-init: files that it cannot read, whether it runs, which data it uses, what it writes again."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from guestrepair.analyzers.base import AnalysisOptions, Context, run_analyzer
from guestrepair.analyzers.cloud import ANALYZER
from guestrepair.analyzers.cloud.next_boot import check_datasource
from guestrepair.guest.devices import BlockDevice, BlockDevices, DeviceKind
from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import EditFile, Finding, GuestPath, Severity

USER_DATA = "#cloud-config\nusers:\n  - name: ann\n    ssh_authorized_keys: [ssh-ed25519 AAAA]\n"
CLOUD_CFG = "users:\n   - default\ndisable_root: true\npreserve_hostname: false\n"


def volume(instance: str = "i-1", user: str = USER_DATA, **more: str) -> dict[str, bytes]:
    """A seed for NoCloud and ConfigDrive; ``_`` in a name is a ``-``."""
    texts = {
        "meta-data": f"instance-id: {instance}\n",
        "user-data": user,
        "openstack/latest/meta_data.json": f'{{"uuid": "{instance}", "hostname": "web"}}',
        **{name.replace("_", "-"): text for name, text in more.items()},
    }
    return {name: text.encode() for name, text in texts.items()}


def guest(*, label: str = "") -> MemoryGuest:
    """A healthy image with cloud-init that has set up no instance yet."""
    device = BlockDevice("/dev/sdb", DeviceKind.DISK, 1 << 20, content="iso9660", label=label)
    made = MemoryGuest(block=BlockDevices(devices=(device,) if label else ()))
    if label:
        made.volumes["/dev/sdb"] = volume()
    made.file("/usr/lib/systemd/systemd", b"\x7fELF", mode=0o755)
    made.file("/usr/bin/cloud-init", "#!/usr/bin/python3\n", mode=0o755)
    made.file("/usr/lib/systemd/system-generators/cloud-init-generator", "#!/bin/sh\n", mode=0o755)
    made.file("/usr/lib/systemd/system/cloud-init.target", "[Unit]\n")
    made.file("/etc/cloud/cloud.cfg", CLOUD_CFG)
    made.file("/etc/cloud/cloud.cfg.d/README", "Files that end in .cfg\n\tare read\n")
    made.file("/etc/cloud/cloud.cfg.d/90_dpkg.cfg", "datasource_list: [ NoCloud, ConfigDrive, None ]\n")
    return made


def seed(made: MemoryGuest, user: str | bytes = USER_DATA, instance: str = "i-1") -> MemoryGuest:
    made.file("/var/lib/cloud/seed/nocloud/meta-data", f"instance-id: {instance}\n")
    made.file("/var/lib/cloud/seed/nocloud/user-data", user)
    return made


def findings(made: MemoryGuest) -> list[Finding]:
    found, inconclusive = run_analyzer(ANALYZER, Context(made))
    assert not inconclusive
    return found


def names(made: MemoryGuest) -> list[str]:
    return [f"{f.severity} {f.rule} {f.subject}" for f in findings(made)]


@pytest.mark.parametrize(
    "user",
    [
        USER_DATA, "", "#!/bin/sh\necho\n", "#include\nhttp://a/\n", "Content-Type: multipart/mixed\n\n",
        "## template: jinja\n#cloud-config\na: {{ b }}\n", b"\x1f\x8b\x08", "#cloud-config\n",
        "#cloud-config-archive\n- a\n",
    ],
)  # fmt: skip
def test_healthy_images_are_silent(user: str | bytes) -> None:
    assert names(guest()) == []
    assert names(seed(guest(), user)) == []


def test_without_cloud_init_nothing_is_said() -> None:
    made = seed(guest(), "nonsense")
    made.file("/etc/cloud/cloud.cfg", "a: [\n")
    made.remove("/usr/bin/cloud-init")
    assert names(made) == []


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("/etc/cloud/cloud.cfg", "users:\n\t- default\n", "error cloud/bad-config /etc/cloud/cloud.cfg:2"),
        (
            "/etc/cloud/cloud.cfg.d/99.cfg",
            "a: [b\n",
            "warning cloud/bad-config /etc/cloud/cloud.cfg.d/99.cfg:2",
        ),
        ("/etc/cloud/cloud.cfg.d/99.cfg", "- a\n", "warning cloud/bad-config /etc/cloud/cloud.cfg.d/99.cfg"),
        (
            "/etc/cloud/cloud.cfg.d/99.cfg",
            "datasource_list: 5\n",
            "warning cloud/bad-config /etc/cloud/cloud.cfg.d/99.cfg",
        ),
        ("/etc/cloud/cloud.cfg.d/99.txt", "a: [b\n", None),
    ],
)
def test_files_that_are_no_yaml(path: str, text: str, expected: str | None) -> None:
    made = guest()
    made.file(path, text)
    assert names(made) == ([expected] if expected else [])


def test_cloud_cfg_is_a_warning_once_an_instance_is_set_up() -> None:
    made = guest()
    made.file("/etc/cloud/cloud.cfg", "a: [\n")
    made.file("/var/lib/cloud/data/instance-id", "i-1\n")
    assert [f.severity for f in findings(made)] == [Severity.WARNING]


def test_user_data_without_its_first_line_gets_it() -> None:
    made = seed(guest(), USER_DATA.removeprefix("#cloud-config\n"))
    (finding,) = findings(made)
    assert finding.rule == "cloud/bad-config"
    assert finding.repair is not None
    (change,) = finding.repair.changes
    assert isinstance(change, EditFile)
    assert change.after == USER_DATA.encode()


@pytest.mark.parametrize(
    "user", ["hello\n", "a: b\n", "users: [\n", "#cloud-config\nusers: [\n", "#cloud-config\n- a\n"]
)
def test_user_data_that_nobody_can_mend_has_no_repair(user: str) -> None:
    (finding,) = findings(seed(guest(), user))
    assert (finding.rule, finding.repair) == ("cloud/bad-config", None)


@pytest.mark.parametrize(
    "disable",
    [
        lambda g: g.file("/etc/cloud/cloud-init.disabled"),
        lambda g: g.link("/etc/systemd/system/cloud-init.target", "/dev/null"),
        lambda g: g.remove("/usr/lib/systemd/system-generators"),
    ],
)
def test_disabled_is_a_note_and_with_data_a_warning(disable) -> None:  # type: ignore[no-untyped-def]
    made = guest()
    disable(made)
    assert [(f.rule, f.severity) for f in findings(made)] == [("cloud/disabled", Severity.NOTE)]
    assert [(f.rule, f.severity) for f in findings(seed(made))] == [("cloud/disabled", Severity.WARNING)]


def test_enabled_goes_before_disabled() -> None:
    made = guest()
    made.file("/etc/cloud/cloud-init.disabled")
    made.file("/etc/cloud/cloud-init.enabled")
    assert names(made) == []


@pytest.mark.parametrize(
    ("label", "name"), [("cidata", "NoCloud"), ("CIDATA", "NoCloud"), ("config-2", "ConfigDrive")]
)
def test_data_that_no_datasource_may_read(label: str, name: str) -> None:
    made = guest(label=label)
    assert names(made) == []
    made.file("/etc/cloud/cloud.cfg.d/95.cfg", "datasource_list: [ Azure ]\n")
    (finding,) = findings(made)
    assert (finding.rule, finding.subject) == ("cloud/wrong-datasource", "/etc/cloud/cloud.cfg.d/95.cfg")
    assert name in finding.message


def test_a_platform_that_is_named_needs_its_datasource() -> None:
    assert list(check_datasource(Context(guest()))) == []
    named = AnalysisOptions(platforms=("aws-nitro", "aws-xen", "gce"))
    made = guest()
    made.file("/etc/cloud/cloud.cfg.d/95.cfg", "datasource_list: [ GCE ]\n")
    (finding,) = check_datasource(Context(made, options=named))
    assert isinstance(finding, Finding)
    assert (finding.platforms, "Ec2" in finding.message) == (("aws-nitro", "aws-xen"), True)


def test_another_instance_is_a_warning_and_the_same_is_not() -> None:
    made = seed(guest(), instance="i-2")
    made.file("/var/lib/cloud/data/instance-id", "i-2\n")
    assert names(made) == []
    made.file("/var/lib/cloud/data/instance-id", "i-1\n")
    (finding,) = findings(made)
    assert (finding.rule, finding.severity) == ("cloud/will-overwrite", Severity.WARNING)
    assert "host keys" in finding.message
    made.file("/etc/cloud/cloud.cfg.d/99.cfg", "ssh_deletekeys: false\npreserve_hostname: true\n")
    (finding,) = findings(made)
    assert "host keys" not in finding.message
    assert "host name" not in finding.message


def test_an_unreadable_file_makes_it_inconclusive() -> None:
    made = guest()
    made.nodes[GuestPath("/etc/cloud/cloud.cfg.d/90_dpkg.cfg")].unreadable = "Input/output error"
    found, inconclusive = run_analyzer(ANALYZER, Context(made))
    assert not found
    assert inconclusive


@pytest.mark.parametrize(
    "text",
    [
        "a: " + "[" * 5000,
        "b0: &b0 [x]\n" + "".join(f"b{n}: &b{n} [*b{n - 1}, *b{n - 1}]\n" for n in range(1, 40)),
        "a: *b\n", "a: \0\n", "? [a]\n: b\n", "x" * 300_000,
    ],
)  # fmt: skip
def test_hostile_yaml_ends(text: str) -> None:
    made = guest()
    made.file("/etc/cloud/cloud.cfg.d/99.cfg", text)
    run_analyzer(ANALYZER, Context(made))


# --- seeds of all kinds ---------------------------------------------------------------------


def started_with(made: MemoryGuest, parameters: str) -> MemoryGuest:
    made.file("/boot/vmlinuz-6.1", b"x")
    entry = f"menuentry 'Linux' {{\n linux /boot/vmlinuz-6.1 root=UUID=1 ro {parameters}\n}}\n"
    made.file("/boot/grub/grub.cfg", entry)
    return made


def identifying(made: MemoryGuest) -> MemoryGuest:
    made.file("/usr/lib/cloud-init/ds-identify", "#!/bin/sh\n", mode=0o755)
    return made


def known(made: MemoryGuest, instance: str = "i-0") -> MemoryGuest:
    made.file("/var/lib/cloud/data/instance-id", f"{instance}\n")
    return made


def with_settings(made: MemoryGuest, text: str) -> MemoryGuest:
    made.file("/etc/cloud/cloud.cfg.d/99.cfg", text)
    return made


def srv(made: MemoryGuest, instance: str = "i-srv") -> MemoryGuest:
    made.file("/srv/seed/meta-data", f"instance-id: {instance}\n")
    made.file("/srv/seed/user-data", USER_DATA)
    return made


COMING: dict[str, tuple[Callable[[], MemoryGuest], tuple[str, str | None]]] = {
    "a seed directory": (lambda: seed(guest()), ("NoCloud", "i-1")),
    "a volume": (lambda: guest(label="cidata"), ("NoCloud", "i-1")),
    "a config drive": (lambda: guest(label="config-2"), ("ConfigDrive", "i-1")),
    "a label of mixed case is none": (lambda: guest(label="Cidata"), ("", None)),
    "a directory before a volume": (
        lambda: seed(guest(label="cidata"), instance="i-directory"), ("NoCloud", "i-directory"),
    ),
    "the command line before both": (
        lambda: started_with(seed(guest()), "'ds=nocloud;i=i-line'"), ("NoCloud", "i-line"),
    ),
    "the command line, of another": (lambda: started_with(guest(), "ds=ec2"), ("", None)),
    "no instance-id": (
        lambda: with_volume(guest(label="cidata"), {"meta-data": b"", "user-data": b""}),
        ("NoCloud", "nocloud"),
    ),
    "a volume without user-data": (
        lambda: with_volume(guest(label="cidata"), {"meta-data": b""}), ("", None),
    ),
    "told by ci.ds": (lambda: started_with(identifying(seed(guest())), "ci.ds=Ec2"), ("", None)),
    "data in the settings": (
        lambda: with_settings(
            guest(), "datasource:\n  NoCloud:\n    meta-data: {instance-id: i-set}\n    user-data: x\n"
        ),
        ("NoCloud", "i-set"),
    ),
    "a directory of the guest, named in the settings": (
        lambda: srv(with_settings(guest(), "datasource: {NoCloud: {seedfrom: /srv/seed/}}\n")),
        ("NoCloud", "i-srv"),
    ),
    "a web address": (
        lambda: with_settings(guest(), "datasource: {NoCloud: {seedfrom: 'http://10.0.0.1/'}}\n"),
        ("NoCloud", None),
    ),
}  # fmt: skip


def with_volume(made: MemoryGuest, files: dict[str, bytes]) -> MemoryGuest:
    made.volumes["/dev/sdb"] = files
    return made


@pytest.mark.parametrize("case", COMING)
def test_the_instance_of_the_next_boot(case: str) -> None:
    make, expected = COMING[case]
    cloud = Context(make()).system.cloud_init
    found = cloud.expected_datasource if cloud.coming.seeds else ""
    assert (found, cloud.coming.instance_id) == expected


@pytest.mark.parametrize(
    "make",
    [
        lambda: known(guest(label="cidata")),
        lambda: known(guest(label="config-2")),
        lambda: known(started_with(guest(), "'ds=nocloud;i=i-9'")),
        lambda: known(srv(with_settings(guest(), "datasource: {NoCloud: {seedfrom: /srv/seed/}}\n"))),
    ],
)
def test_another_instance_of_any_kind_is_a_warning(make: Callable[[], MemoryGuest]) -> None:
    (finding,) = findings(make())
    assert (finding.rule, finding.severity) == ("cloud/will-overwrite", Severity.WARNING)


@pytest.mark.parametrize(
    "make",
    [
        lambda: known(guest(label="cidata"), "i-1"),
        lambda: with_settings(known(seed(guest())), "manual_cache_clean: true\n"),
        lambda: kept(known(seed(guest()))),
        lambda: guest(label="cidata"),
    ],
)
def test_an_instance_that_stays_is_silent(make: Callable[[], MemoryGuest]) -> None:
    assert names(make()) == []


def kept(made: MemoryGuest) -> MemoryGuest:
    made.file("/var/lib/cloud/instance/manual-clean")
    return made


def test_what_will_be_written_is_named() -> None:
    user = (
        "#cloud-config\nhostname: web7\nusers: [default, {name: ann}]\nmounts: [[/dev/vdc, /srv]]\n"
        "write_files: [{path: /etc/motd, content: x}]\n"
    )
    made = known(with_volume(guest(label="cidata"), volume("i-7", user)))
    with_settings(made, "system_info: {default_user: {name: debian}}\n")
    made.file("/usr/sbin/netplan", "x", mode=0o755)
    (finding,) = findings(made)
    for words in ("i-0", "i-7", "/etc/hostname: web7", "debian, ann", "/etc/fstab (/srv)", "/etc/motd",
                  "/etc/netplan/50-cloud-init.yaml", "ssh_host_"):  # fmt: skip
        assert words in finding.message


def test_data_from_the_network_cannot_be_seen() -> None:
    settings = "datasource: {NoCloud: {seedfrom: 'http://10.0.0.1/'}}\n"
    (finding,) = findings(known(with_settings(guest(), settings)))
    assert (finding.rule, finding.severity) == ("cloud/will-overwrite", Severity.NOTE)
    assert "http://10.0.0.1/" in finding.message
    assert names(with_settings(guest(), settings)) == []


def test_a_volume_that_cannot_be_mounted_is_said() -> None:
    made = known(guest(label="cidata"))
    made.volumes.clear()
    found, (inconclusive,) = run_analyzer(ANALYZER, Context(made))
    assert not found
    assert "/dev/sdb" in inconclusive.reason


def test_a_volume_of_which_a_part_is_missing_or_no_yaml() -> None:
    made = with_volume(guest(label="cidata"), {"meta-data": b"instance-id: a\n"})
    assert names(made) == ["warning cloud/bad-config /dev/sdb"]
    made = with_volume(guest(label="cidata"), volume(network_config="version: [2\n"))
    assert names(made) == ["warning cloud/bad-config /dev/sdb"]
    made = with_volume(guest(label="cidata"), volume(user="users: []\n"))
    (finding,) = findings(made)
    assert finding.repair is None


@pytest.mark.parametrize("where", ["/etc/cloud/ds-identify.cfg", "the command line"])
def test_a_policy_may_disable_it(where: str) -> None:
    made = identifying(guest())
    assert names(made) == []
    if where.startswith("/"):
        made.file(where, "policy: disabled\n")
    else:
        started_with(made, "ci.di.policy=disabled")
    (finding,) = findings(made)
    assert (finding.rule, finding.severity) == ("cloud/disabled", Severity.NOTE)
    made.file("/etc/cloud/ds-identify.cfg", "policy: enabled\n")
    assert bool(names(made)) is not where.startswith("/")


def test_a_datasource_that_is_named_goes_before_the_list() -> None:
    made = identifying(seed(guest()))
    made.file("/etc/cloud/ds-identify.cfg", "datasource: Azure\n")
    (finding,) = findings(made)
    assert finding.rule == "cloud/wrong-datasource"
