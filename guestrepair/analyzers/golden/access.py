"""Who can get into every copy: keys, passwords, secrets, and who may become root without being asked."""

from __future__ import annotations

from collections.abc import Iterator

from guestrepair.analyzers.base import Check, Context, Rule
from guestrepair.analyzers.golden.folding import folded, removed
from guestrepair.analyzers.golden.traces import SYSPREP
from guestrepair.formats.passwd import ShadowEntry
from guestrepair.model import (
    Edit,
    EditFile,
    Effect,
    Evidence,
    Finding,
    Repair,
    Safety,
    Severity,
    Subject,
)
from guestrepair.system.account_files import SHADOW
from guestrepair.system.fact import Unreadable
from guestrepair.system.guest_system import System
from guestrepair.system.leftovers import Leftover

KEYS = Rule(
    name="golden/authorized-keys",
    summary="somebody's key opens every copy of the image",
    severities=(Severity.ERROR,),
    effect=Effect.DEGRADES,
    safeties=(Safety.REVIEW, Safety.MANUAL),
    what="authorized_keys of any account holds something.",
    why="Whoever has that private key gets into every machine that is made of the image.",
    repair="Remove them, where cloud-init or an agent of the cloud gives a new machine its keys (review)."
    " Where nothing does, nobody could log in to a copy any more: a person decides.",
    example="/root/.ssh/authorized_keys",
    sources=("sshd(8), AUTHORIZED_KEYS FILE FORMAT", SYSPREP),
)
PASSWORD = Rule(
    name="golden/password",
    summary="a password opens every copy of the image",
    severities=(Severity.ERROR,),
    effect=Effect.DEGRADES,
    safeties=(Safety.REVIEW, Safety.MANUAL),
    what="An account has the hash of a password in /etc/shadow (a locked one, too), or none is asked for.",
    why="One password for every machine that is made of the image; its hash is in every copy to be guessed.",
    repair='Write "*" in its place, so that no password fits and keys still do; where cloud-init or an'
    " agent sets"
    " up a new machine's accounts (review). Where nothing does, nobody could log in: a person decides.",
    example="root:$y$j9T$…",
    sources=("shadow(5)", SYSPREP),
)
CREDENTIALS = Rule(
    name="golden/credentials",
    summary="somebody's credentials are in the image",
    severities=(Severity.ERROR,),
    effect=Effect.DEGRADES,
    safeties=(Safety.REVIEW, Safety.MANUAL),
    what="Private ssh keys, tokens and passwords of clients (git, AWS, Azure, Google, docker, kubectl, npm,"
    " PyPI, databases) in a home directory; systemd's credential.secret.",
    why="Everybody who gets a copy has them.",
    repair="Remove them, and have them withdrawn: they may have been copied already. Review. What was"
    " encrypted with credential.secret cannot be read without it.",
    example="/root/.aws/credentials",
    sources=("https://docs.aws.amazon.com/marketplace/latest/userguide/product-and-ami-policies.html",),
)
SERVICE_KEYS = Rule(
    name="golden/service-keys",
    summary="private keys of services are in the image",
    severities=(Severity.ERROR,),
    effect=Effect.DEGRADES,
    safeties=(Safety.MANUAL,),
    what="Private keys below /etc/letsencrypt, /etc/wireguard, /etc/openvpn, /etc/ssl/private and /etc/pki,"
    " but for the self-signed one of ssl-cert.",
    why="All copies are one server, or one end of one tunnel; everybody who gets a copy has the key.",
    repair="None: the service that uses a key does not start without it.",
    example="/etc/wireguard/wg0.conf",
    sources=("wg(8)", "https://eff-certbot.readthedocs.io/en/stable/using.html"),
)
BUILD_SUDO = Rule(
    name="golden/build-user-sudo",
    summary="an account may become root without a password",
    severities=(Severity.WARNING,),
    effect=Effect.DEGRADES,
    safeties=(Safety.MANUAL,),
    what="NOPASSWD in a file of /etc/sudoers.d that neither a package nor cloud-init brings.",
    why="It is usually the account that the image was built with, and stays in every copy.",
    repair="None: remove the rule together with the account, if it is that one.",
    example="packer ALL=(ALL) NOPASSWD: ALL",
    sources=("sudoers(5), Tag_Spec",),
)
RULES = (KEYS, PASSWORD, CREDENTIALS, SERVICE_KEYS, BUILD_SUDO)
_LOCKED_OUT = "nothing gives a copy accounts or keys (no cloud-init, no agent), and nobody could log in to it"
_SELF_SIGNED = "ssl-cert-snakeoil.key"
_NO_HASH = frozenset({"*", "!", "!!", "!*", "x", "*LK*", "*NP*", "!locked", "NP", "LK"})


def check_keys(context: Context) -> Iterator[Finding]:
    """authorized-keys."""
    system = context.system
    files = {file.path: file for file in system.leftovers.of("authorized-keys").files}
    for file in _elsewhere(system):
        files.setdefault(file.path, file)
    provisioner = system.first_boot.provisioner

    def repair(own: object) -> Repair:
        changes = tuple(removed(file) for file in files.values() if file.is_plain)
        if not provisioner:
            return Repair(f"decide who gets in, and how: {_LOCKED_OUT}", Safety.MANUAL)
        return Repair(f"remove the keys; {provisioner} gives a new machine its own", Safety.REVIEW, changes)

    found = sorted(files.values(), key=lambda file: file.path)
    yield from folded(KEYS, found, "keys that open every copy", repair)


def _elsewhere(system: System) -> Iterator[Leftover]:
    """Where sshd_config says that keys are."""
    paths = {
        path
        for sshd in system.sshds
        for account in sshd.accounts.login
        for path in sshd.authorized_keys_files(account)
    }
    for path in sorted(paths):
        real = system.files.resolve(path)
        found = None if real is None else system.files.lstat(real)
        if real is not None and found is not None and found.is_file and found.size_bytes:
            yield Leftover(real, found.size_bytes)


def check_passwords(context: Context) -> Iterator[Finding]:
    """password."""
    system = context.system
    shadow = system.account_files.shadow
    entries = [] if shadow is None else [e for e in shadow.parsed.entries if _opens(e)]
    if shadow is None or not entries:
        return
    lines = [Subject.of_line(SHADOW, entry.line.number) for entry in entries]
    edits = tuple(_edit(entry) for entry in entries)
    provisioner = system.first_boot.provisioner
    repair = Repair(f"decide who gets in, and how: {_LOCKED_OUT}", Safety.MANUAL)
    if provisioner:
        real = system.files.resolve(SHADOW) or SHADOW
        change = EditFile(path=real, before=shadow.data, edits=edits, backup=False)
        words = f'write "*" in their place; {provisioner} sets up the accounts of a new machine'
        repair = Repair(words, Safety.REVIEW, (change,))
    names = ", ".join(entry.name for entry in entries[:5]) + (", …" if len(entries) > 5 else "")
    yield PASSWORD.finding(
        lines[0],
        f"every copy has the password of {names}",
        evidence=tuple(
            Evidence(str(line), _words(entry), "*") for line, entry in zip(lines, entries, strict=True)
        ),
        repair=repair,
        folded=tuple(lines[1:]),
    )


def _opens(entry: ShadowEntry) -> bool:
    return entry.password not in _NO_HASH


def _words(entry: ShadowEntry) -> str:
    """What the field is, never the hash itself."""
    if not entry.password:
        return f"{entry.name}: no password is asked for"
    return f"{entry.name}: the hash of a {'locked ' if entry.password.startswith('!') else ''}password"


def _edit(entry: ShadowEntry) -> Edit:
    raw = entry.line.raw
    start = raw.index(b":") + 1
    length = len(raw.rstrip(b"\n")[start:].split(b":")[0])
    return Edit(offset=entry.line.offset_bytes + start, length=length, text=b"*")


def check_credentials(context: Context) -> Iterator[Finding]:
    """credentials, service-keys."""
    leftovers = context.system.leftovers
    for kind, says in (
        ("credentials", "credentials of who made the image"),
        ("credential-secret", "the key that this machine's credentials are encrypted with"),
    ):
        yield from folded(
            CREDENTIALS,
            leftovers.of(kind).files,
            says,
            lambda files: Repair("remove them", Safety.REVIEW, tuple(map(removed, files))),
        )
    files = [file for file in leftovers.of("service-keys").files if file.path.name != _SELF_SIGNED]
    repair = Repair("decide which services a copy is to have, and how it gets keys for them", Safety.MANUAL)
    yield from folded(SERVICE_KEYS, files, "private keys of services", repair)


def check_sudo(context: Context) -> Iterator[Finding]:
    """build-user-sudo."""
    system = context.system
    generated = {file.path for file in system.leftovers.of("cloud-access").files}
    files = [f for f in system.sudoers.files if not isinstance(f, Unreadable)]
    ours = [f for f in files if f.path.parent.name == "sudoers.d" and f.real_path not in generated]
    packages = system.packages
    owners = {} if packages is None else packages.lookup_many([str(f.path) for f in ours])
    for file in ours:
        if isinstance(file.text, Unreadable) or owners.get(str(file.path)):
            continue
        number = next((n for n, line in enumerate(file.text.data.splitlines(), 1) if _asks_nothing(line)), 0)
        if number:
            yield BUILD_SUDO.finding(
                Subject.of_line(file.path, number),
                f"{file.path} lets an account become root without a password",
                evidence=(Evidence(f"{file.path}:{number}", "NOPASSWD", "no such rule"),),
                repair=Repair(
                    "remove the rule with the account that the image was built with", Safety.MANUAL
                ),
            )


def _asks_nothing(line: bytes) -> bool:
    return b"NOPASSWD" in line.split(b"#")[0]


CHECKS: tuple[Check, ...] = (check_keys, check_passwords, check_credentials, check_sudo)
