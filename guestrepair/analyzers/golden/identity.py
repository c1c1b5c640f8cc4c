"""What makes one machine itself, of which every copy needs its own: id, host keys, names, memberships."""

from __future__ import annotations

from collections.abc import Iterator

from guestrepair.analyzers.base import Check, Context, Rule
from guestrepair.analyzers.golden.cloud import forget_instance
from guestrepair.analyzers.golden.folding import folded, removed
from guestrepair.analyzers.golden.traces import SYSPREP
from guestrepair.formats.machine_id import MachineIdState
from guestrepair.model import (
    Change,
    Effect,
    EmptyFile,
    Evidence,
    Finding,
    GuestPath,
    Repair,
    Safety,
    Severity,
    Subject,
    WriteFile,
)
from guestrepair.system.guest_system import System
from guestrepair.system.leftovers import Leftover

MACHINE_ID = Rule(
    name="golden/machine-id",
    summary="the image has the identity of one machine",
    severities=(Severity.ERROR,),
    effect=Effect.DEGRADES,
    safeties=(Safety.SAFE, Safety.REVIEW, Safety.MANUAL),
    what="/etc/machine-id holds a valid identity, or D-Bus keeps one of its own. Absent, empty and"
    ' "uninitialized" are right for an image; one that is none at all is system/machine-id-invalid.',
    why="All copies then have one identity: DHCP servers give them one address, and journals, inventories and"
    " licences take them for one machine.",
    repair="Empty the file: systemd makes a new identity at the first boot. Without systemd it is removed"
    " (review: something else has to make it).",
    example="5f1d2c340b6e4c399d5a6a1f3be0c1aa",
    sources=("machine-id(5)", SYSPREP),
)
HOST_KEY = Rule(
    name="golden/ssh-host-key",
    summary="the image has ssh host keys",
    severities=(Severity.ERROR,),
    effect=Effect.DEGRADES,
    safeties=(Safety.REVIEW, Safety.MANUAL),
    what="Host keys of sshd, private or public, are in the image.",
    why="All copies then have the same keys: whoever has one copy can pretend to be any other.",
    repair="Remove them, where something makes new ones at the first boot: a unit, a script, cloud-init (then"
    " its state of this instance goes, too). Where nothing does, sshd would not start on any copy and lock"
    " everybody out: a person decides.",
    example="/etc/ssh/ssh_host_ed25519_key",
    sources=("sshd(8), FILES", "ssh-keygen(1), -A", SYSPREP),
)
STORAGE = Rule(
    name="golden/storage-identity",
    summary="the image has the name of one iSCSI or NVMe host",
    severities=(Severity.ERROR,),
    effect=Effect.DEGRADES,
    safeties=(Safety.REVIEW, Safety.MANUAL),
    what="InitiatorName in /etc/iscsi/initiatorname.iscsi; /etc/nvme/hostnqn and hostid.",
    why="Two machines of one name are given the same disks, and destroy what is on them.",
    repair="iSCSI: where open-iscsi or iscsi-init.service makes a name at boot, have it made. NVMe: remove"
    " both files; the name then comes from the machine's own UUID. Review, and by hand where nothing makes"
    " a new name.",
    example="InitiatorName=iqn.1993-08.org.debian:01:9a8b7c",
    sources=("iscsid(8), FILES", "nvme-gen-hostnqn(1)"),
)
SUBSCRIPTION = Rule(
    name="golden/subscription",
    summary="the image is registered as one machine with a service",
    severities=(Severity.ERROR,),
    effect=Effect.DEGRADES,
    safeties=(Safety.REVIEW, Safety.MANUAL),
    what="Certificates and tokens of subscription-manager, RHN, Ubuntu Pro, Landscape, SSM, the Azure and"
    " Google agents, Puppet, Salt, Chef.",
    why="All copies are one machine to that service; some of these files let whoever has them act as it.",
    repair="Remove them: each copy registers again. Review.",
    example="/etc/pki/consumer/cert.pem",
    sources=("subscription-manager(8)", SYSPREP),
)
DOMAIN = Rule(
    name="golden/domain-membership",
    summary="the image is a member of a domain",
    severities=(Severity.ERROR,),
    effect=Effect.DEGRADES,
    safeties=(Safety.REVIEW, Safety.MANUAL),
    what="/etc/krb5.keytab, caches of sssd, what ipa-client and Samba keep of their enrolment.",
    why="All copies are one host to the domain, and its keys are in every copy.",
    repair="Remove them: each copy has to be enrolled. Review.",
    example="/etc/krb5.keytab",
    sources=("sssd.conf(5)", SYSPREP),
)
HOST_NAME = Rule(
    name="golden/hostname",
    summary="the image has the name of one machine",
    severities=(Severity.WARNING,),
    effect=Effect.DEGRADES,
    safeties=(Safety.REVIEW, Safety.MANUAL),
    what="/etc/hostname names something else than localhost; /etc/machine-info describes a machine.",
    why="All copies call themselves the same, in logs, prompts and to the DHCP server.",
    repair="Write localhost, which DHCP and cloud-init may override, and remove machine-info. Review.",
    example="build-7.example.com",
    sources=("hostname(5)", "machine-info(5)"),
)
RULES = (MACHINE_ID, HOST_KEY, STORAGE, SUBSCRIPTION, DOMAIN, HOST_NAME)

_HOSTNAME = GuestPath("/etc/hostname")
_NO_NAMES = frozenset({"", "localhost", "localhost.localdomain"})


def check_machine_id(context: Context) -> Iterator[Finding]:
    """machine-id."""
    system = context.system
    for file in (system.machine_id.file, system.machine_id.of_dbus):
        if file is None or file.state is not MachineIdState.VALID:
            continue
        own = file is system.machine_id.file
        by_systemd = own and system.systemd.installed
        change: Change = removed(Leftover(file.real, file.size_bytes))
        if by_systemd:
            change = EmptyFile(path=file.real, before_bytes=file.size_bytes)
        yield MACHINE_ID.finding(
            Subject.of_path(file.path),
            f"{file.path} holds an identity that every copy of the image would have",
            evidence=(Evidence(str(file.path), file.data[:32].decode("ascii", "replace"), "empty"),),
            repair=Repair(
                "empty it: systemd makes a new one at the first boot" if by_systemd else "remove it",
                Safety.SAFE if by_systemd else Safety.REVIEW,
                (change,),
            ),
        )


def check_host_keys(context: Context) -> Iterator[Finding]:
    """ssh-host-key."""
    yield from folded(
        HOST_KEY,
        _host_keys(context.system),
        "ssh host keys that every copy would have",
        _without_keys(context),
    )


def _host_keys(system: System) -> list[Leftover]:
    """Those in their usual place, and those that sshd is told of elsewhere."""
    found = {file.path: file for file in system.leftovers.of("ssh-host-keys").files}
    for sshd in system.sshds:
        for key in sshd.host_keys:
            if key.stat is not None and key.stat.size_bytes and key.path not in found:
                found[key.path] = Leftover(key.path, key.stat.size_bytes)
    return sorted(found.values(), key=lambda file: file.path)


def _without_keys(context: Context) -> Repair:
    system = context.system
    changes = tuple(removed(file) for file in _host_keys(system) if file.is_plain)
    if not system.sshds:
        return Repair("remove the keys; no sshd is installed", Safety.REVIEW, changes)
    maker = system.first_boot.host_key_maker
    if maker:
        return Repair(f"remove the keys; {maker} makes new ones at the first boot", Safety.REVIEW, changes)
    maker = system.first_boot.host_key_maker_of_new_instance
    if maker:
        words = "remove the keys and cloud-init's state: it makes new ones for each new instance"
        return Repair(words, Safety.REVIEW, (*changes, *forget_instance(system)))
    return Repair(
        "add a unit that runs ssh-keygen -A at boot, then remove the keys: nothing would make new ones,"
        " and sshd without any locks everybody out",
        Safety.MANUAL,
    )


def check_storage(context: Context) -> Iterator[Finding]:
    """storage-identity."""
    system = context.system
    names = system.leftovers.of("iscsi").files
    yield from folded(STORAGE, names, "the name of one iSCSI initiator", lambda _: _initiator(system, names))
    yield from folded(
        STORAGE,
        system.leftovers.of("nvme").files,
        "the name of one NVMe host",
        lambda files: Repair("remove them", Safety.REVIEW, tuple(map(removed, files))),
    )


def _initiator(system: System, names: tuple[Leftover, ...]) -> Repair:
    first_boot = system.first_boot
    if first_boot.makes_initiator_when_told:
        text = system.leftovers.text_of(names[0].path)
        change = WriteFile(path=names[0].path, before=text, after=b"GenerateName=yes\n", backup=False)
        return Repair("have open-iscsi make a name at the first boot", Safety.REVIEW, (change,))
    if first_boot.makes_initiator_when_missing:
        return Repair("remove it: iscsi-init.service makes one", Safety.REVIEW, tuple(map(removed, names)))
    return Repair("have each copy make a name of its own (iscsi-iname)", Safety.MANUAL)


def check_memberships(context: Context) -> Iterator[Finding]:
    """subscription, domain-membership."""
    for rule, kind, says in (
        (SUBSCRIPTION, "subscription", "the identity of one machine with a service"),
        (DOMAIN, "domain", "the membership of one machine in a domain"),
    ):
        yield from folded(
            rule,
            context.system.leftovers.of(kind).files,
            says,
            lambda files: Repair(
                "remove it: each copy registers again", Safety.REVIEW, tuple(map(removed, files))
            ),
        )


def check_names(context: Context) -> Iterator[Finding]:
    """hostname."""
    leftovers = context.system.leftovers
    yield from folded(
        HOST_NAME,
        leftovers.of("names").files,
        "the description of one machine",
        lambda files: Repair("remove it", Safety.REVIEW, tuple(map(removed, files))),
    )
    for file in leftovers.of("hostname").files:
        text = leftovers.text_of(file.path)
        lines = (line.split(b"#")[0].strip() for line in text.splitlines())
        name = next((line for line in lines if line), b"").decode("utf-8", "replace")
        if name in _NO_NAMES:
            continue
        change = WriteFile(path=file.path, before=text, after=b"localhost\n", backup=False)
        yield HOST_NAME.finding(
            Subject.of_path(_HOSTNAME),
            f"every copy would be called {name}",
            evidence=(Evidence(str(_HOSTNAME), name, "localhost, or nothing"),),
            repair=Repair("write localhost", Safety.REVIEW, (change,))
            if not file.link_to
            else Repair(f"decide about {file.link_to}, to which it leads", Safety.MANUAL),
        )


CHECKS: tuple[Check, ...] = (
    check_machine_id,
    check_host_keys,
    check_storage,
    check_memberships,
    check_names,
)
