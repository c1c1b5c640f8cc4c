"""Whether anybody is left who can become root: root's own password or key, or a rule of sudo."""

from __future__ import annotations

from collections.abc import Iterator

from guestrepair.analyzers.base import Rule
from guestrepair.formats.sudoers import Entry
from guestrepair.model import Effect, Evidence, Finding, GuestPath, Repair, Safety, Severity, Subject
from guestrepair.system.account_files import SHADOW
from guestrepair.system.accounts import Account
from guestrepair.system.fact import Unreadable
from guestrepair.system.guest_system import System
from guestrepair.system.sudoers import MAIN

_KEYS = GuestPath(".ssh/authorized_keys")
_MAKERS_OF_ACCOUNTS = tuple(
    GuestPath(path)
    for path in ("/usr/bin/cloud-init", "/usr/bin/ignition", "/usr/lib/dracut/modules.d/30ignition")
)
"""What makes an administrator at the first boot of an image."""

_OTHER_WAYS = tuple(GuestPath(path) for path in ("/usr/bin/doas", "/usr/local/bin/doas"))


def nobody_left(system: System, rule: Rule) -> Iterator[Finding]:
    """An error where root cannot log in, and sudo lets none of the accounts become root.

    Nothing where there is no other account: an image is to be given one, or is not for people.
    """
    files = system.files
    accounts = [account for account in system.accounts.login if account.uid]
    if not accounts or any(map(files.exists, (*_MAKERS_OF_ACCOUNTS, *_OTHER_WAYS))):
        return
    if not system.sudoers.files or _root_can_log_in(system):
        return
    rules = _Rules(system)
    if any(rules.lets_become_root(account) for account in accounts[:1000]):
        return
    names = ", ".join(account.name for account in accounts[:5])
    yield rule.finding(
        Subject.of_path(MAIN),
        f"nobody is left who can become root: root has neither password nor key, and no rule of {MAIN}"
        f" lets {names} do so",
        severity=Severity.ERROR,
        effect=Effect.DEGRADES,
        evidence=(
            Evidence(str(SHADOW), "root's password is locked", "a password, a key or a rule of sudo"),
            Evidence(str(MAIN), f"no rule for {names}"),
        ),
        repair=Repair(
            "let an account become root: by the group that sudoers names, or by a rule of its own",
            Safety.MANUAL,
        ),
    )


def _root_can_log_in(system: System) -> bool:
    accounts = system.accounts
    for account in accounts.login:
        if account.uid:
            continue
        entry = accounts.shadow.get(account.name)
        secret = entry.password if entry is not None else account.entry.password
        if not secret.startswith(("!", "*")) and (entry is not None or secret != "x"):  # noqa: S105
            return True
        keys = system.files.stat(account.home / _KEYS)
        if keys is not None and keys.size_bytes:
            return True
    return False


class _Rules:
    """The rules of sudo, with their aliases put in."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._entries: list[Entry] = []
        self._aliases: dict[tuple[str, str], tuple[str, ...]] = {}
        self._authenticates = True
        for file in system.sudoers.files:
            if isinstance(file, Unreadable) or isinstance(file.text, Unreadable):
                continue
            for line in file.text.lines:
                if line.entry is not None:
                    self._take(line.entry)

    def _take(self, entry: Entry) -> None:
        self._entries += [entry] if entry.specs else []
        for kind, name, members in entry.aliases:
            self._aliases.setdefault((kind, name), members)
        if any(name == "!authenticate" for name, _ in entry.defaults):
            self._authenticates = False

    def lets_become_root(self, account: Account) -> bool:
        """True when some rule lets the account run a command as root; what cannot be told counts as one."""
        entry = self._system.accounts.shadow.get(account.name)
        secret = entry.password if entry is not None else account.entry.password
        needs_no_password = not self._authenticates or not secret.startswith(("!", "*"))
        for rule in self._entries:
            if not self._among(rule.users, account, frozenset()):
                continue
            for spec in rule.specs:
                if spec.command.startswith("!") or not (spec.nopasswd or needs_no_password):
                    continue
                if self._runs_as_root(spec.runas):
                    return True
        return False

    def _runs_as_root(self, runas: tuple[str, ...] | None) -> bool:
        return runas is None or any(not name.startswith("!") for name in runas)

    def _among(self, members: tuple[str, ...], account: Account, seen: frozenset[str]) -> bool:
        """The last member that fits decides (sudoers(5), the exclamation mark)."""
        for member in reversed(members):
            negated = member.startswith("!")
            if self._is(member.removeprefix("!"), account, seen):
                return not negated
        return False

    def _is(self, member: str, account: Account, seen: frozenset[str]) -> bool:
        name = member.replace("\\", "")
        if name in ("ALL", account.name, f"#{account.uid}") or name.startswith("+"):
            return True  # nobody here knows who is in a netgroup
        if name.startswith("%"):
            group = name[1:]
            known = self._system.accounts.group.get(group) is not None
            if group.startswith("#"):
                numbers = self._system.accounts.membership.numbers(account.entry)
                return group[1:].isdigit() and len(group) < 12 and int(group[1:]) in numbers
            return group in account.groups or (not known and self._has_directory)
        if ("user", name) in self._aliases and name not in seen and len(seen) < 20:
            return self._among(self._aliases["user", name], account, seen | {name})
        return False

    @property
    def _has_directory(self) -> bool:
        """True where groups may come from elsewhere than /etc/group."""
        names = {"pam_sss", "pam_ldap", "pam_krb5", "pam_winbind"}
        stack = self._system.pam.stack("login")
        return any(call.module.module.removesuffix(".so").rpartition("/")[2] in names for call in stack.calls)
