"""The kernel's audit as events: who changed which path, ran what, logged in, changed accounts.

``auid`` is who logged in, whatever the process became by sudo or su.
"""

from __future__ import annotations

import posixpath
import shlex
from collections import OrderedDict
from collections.abc import Iterator

from guestrepair.errors import GuestReadError
from guestrepair.events.model import Event, Kind, Unread, known_details
from guestrepair.events.streams import Lines, rotations
from guestrepair.formats.audit_log import AuditRecord, parse_audit_line, words_of
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath
from guestrepair.system.accounts import Accounts

LOG = GuestPath("/var/log/audit/audit.log")
_UNSET = frozenset({"4294967295", "-1", "unset", ""})
_OPEN_EVENTS = 200
"""Events whose records are waited for at a time: they come within some hundred lines."""
_MAX_RECORDS = 500
_ACCOUNTS = frozenset({
    "ADD_USER", "DEL_USER", "USER_CHAUTHTOK", "ADD_GROUP", "DEL_GROUP", "USER_MGMT", "GRP_MGMT", "ACCT_LOCK",
    "ACCT_UNLOCK", "CHUSER_ID", "CHGRP_ID", "GRP_CHAUTHTOK", "ROLE_ASSIGN", "ROLE_REMOVE",
})  # fmt: skip
_LOGIN_PROGRAMS = ("sshd", "sshd-session", "login", "gdm-session-worker", "lightdm", "sddm-helper", "remote")
_OPENS = {("c000003e", "257"): "a2", ("c000003e", "2"): "a1", ("c00000b7", "56"): "a2"}
"""Architecture and number of open(2) and openat(2), and which argument holds the flags."""
_WRITES = 0o1 | 0o2 | 0o100 | 0o1000
"""O_WRONLY, O_RDWR, O_CREAT, O_TRUNC."""

_Details = tuple[tuple[str, str], ...]


class AuditLog:
    """audit.log and its rotations."""

    name = "audit"

    def __init__(self, guest: Guest, accounts: Accounts) -> None:
        self._guest = guest
        self._accounts = accounts
        self._names: dict[str, str] = {}

    def events(self) -> Iterator[Event | Unread]:
        """See :class:`guestrepair.events.model.Reader`."""
        try:
            self._names = {str(entry.uid): entry.name for entry in reversed(self._accounts.passwd.entries)}
        except GuestReadError as error:
            yield Unread(error.path, error.reason)
        pending: OrderedDict[tuple[int, int], _Joined] = OrderedDict()
        for file in rotations(self._guest, LOG):
            if isinstance(file, Unread):
                yield file
                continue
            lines, odd, first = Lines(self._guest, file), 0, 0
            for number, line in lines.numbered():
                record = parse_audit_line(line)
                if record is None:
                    odd, first = odd + 1, first or number
                    continue
                yield from self._take(record, f"{file.path}:{number}", pending)
            if odd:
                yield Unread(f"{file.path}:{first}", f"{odd} lines are no records of audit")
            yield from lines.unread
        for joined in pending.values():
            yield from self._events(joined)

    def _take(
        self, record: AuditRecord, source: str, pending: OrderedDict[tuple[int, int], _Joined]
    ) -> Iterator[Event]:
        key = record.time_ns, record.serial
        if record.type == "EOE":
            if key in pending:
                yield from self._events(pending.pop(key))
            return
        joined = pending.get(key)
        if joined is None:
            joined = pending[key] = _Joined(source)
            if len(pending) > _OPEN_EVENTS:
                yield from self._events(pending.popitem(last=False)[1])
        if len(joined.records) < _MAX_RECORDS:
            joined.records.append(record)

    def _events(self, joined: _Joined) -> Iterator[Event]:
        first = joined.records[0]
        call = joined.of("SYSCALL")
        if call is not None:
            yield from self._call(joined, call)
        else:
            kind, message, details = _said(first)
            yield self._event(first, joined.source, kind, message, details)

    def _call(self, joined: _Joined, call: AuditRecord) -> Iterator[Event]:
        """A system call: what it ran, or which paths it was about."""
        cwd = joined.fields_of("CWD").get("cwd", "")
        command = joined.command()
        fields = call.fields
        details: _Details = known_details(
            ("pwd", cwd), ("exe", fields.get("exe")),
            ("syscall", fields.get("SYSCALL") or fields.get("syscall")),
            ("success", fields.get("success")), ("key", fields.get("key")), ("tty", fields.get("tty")),
        )  # fmt: skip
        if joined.of("EXECVE") is not None:
            yield self._event(call, joined.source, Kind.COMMAND, command, details)
            return
        message = command or fields.get("exe", "") or f"system call {fields.get('syscall', '')}"
        changes = fields.get("success") != "no" and not _only_reads(fields)
        paths = list(joined.paths(cwd))
        for path, what in paths:
            more = known_details(("nametype", what), ("name", "" if changes else path))
            yield self._event(
                call, joined.source, Kind.FILE if changes else Kind.LOG, f"{message} ({what.lower()} {path})",
                (*details, *more), path if changes else None,
            )  # fmt: skip
        if not paths:
            denied = joined.of("AVC")
            text = f"{message}: denied by SELinux" if denied is not None else message
            yield self._event(call, joined.source, Kind.LOG, text, details)

    def _event(
        self,
        record: AuditRecord,
        source: str,
        kind: Kind,
        message: str,
        details: _Details,
        path: str | None = None,
    ) -> Event:
        session = record.fields.get("ses", "")
        more = known_details(
            ("pid", record.fields.get("pid")), ("session", "" if session in _UNSET else session),
            ("type", record.type),
        )  # fmt: skip
        return Event(
            time_ns=record.time_ns,
            kind=kind,
            description="Recorded Time",
            message=message,
            source=source,
            actor=self._actor(record),
            path=path,
            detail=(*details, ("record", "audit"), *more),
        )

    def _actor(self, record: AuditRecord) -> str | None:
        """Who had logged in; of a login, who comes in."""
        fields = record.fields
        auid = fields.get("auid", "")
        if auid not in _UNSET:
            enriched = fields.get("AUID", "")
            return self._names.get(auid) or (enriched if enriched not in _UNSET else None)
        succeeded = fields.get("res") in {"success", "1", "yes"}
        return (
            (fields.get("acct") or None)
            if record.type in {"USER_LOGIN", "USER_START"} and succeeded
            else None
        )


class _Joined:
    """The records of one event, and where the first stands."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.records: list[AuditRecord] = []

    def of(self, kind: str) -> AuditRecord | None:
        return next((record for record in self.records if record.type == kind), None)

    def fields_of(self, kind: str) -> dict[str, str]:
        found = self.of(kind)
        return {} if found is None else found.fields

    def command(self) -> str:
        """The command line: of EXECVE in full, else the process's title, which the kernel cuts."""
        executed = self.of("EXECVE")
        if executed is not None:
            merged = {k: v for r in self.records if r.type == "EXECVE" for k, v in r.fields.items()}
            return shlex.join(words_of(merged))
        title = self.fields_of("PROCTITLE").get("proctitle", "")
        return shlex.join(title.rstrip("\0").split("\0")) if "\0" in title else title

    def paths(self, cwd: str) -> Iterator[tuple[str, str]]:
        """Names that the call was about, in full, and what became of each (CREATE, DELETE, NORMAL)."""
        for record in self.records:
            name, what = record.fields.get("name", ""), record.fields.get("nametype", "NORMAL")
            if record.type != "PATH" or not name or what == "PARENT":
                continue
            full = posixpath.normpath(posixpath.join(cwd or "/", name))
            yield ("/" + full.lstrip("/")), what


def _only_reads(fields: dict[str, str]) -> bool:
    """Whether a file was opened without being written to, where that can be told."""
    argument = _OPENS.get((fields.get("arch", ""), fields.get("syscall", "")))
    try:
        return argument is not None and not int(fields[argument], 16) & _WRITES
    except (KeyError, ValueError):
        return False


def _said(record: AuditRecord) -> tuple[Kind, str, _Details]:
    """What a record that a program wrote means."""
    fields, kind = record.fields, record.type
    succeeded = fields.get("res") not in {"failed", "0", "no"}
    if kind == "USER_CMD":
        details = known_details(
            ("pwd", fields.get("cwd")), ("tty", fields.get("terminal")), ("result", fields.get("res"))
        )
        return (Kind.COMMAND if succeeded else Kind.LOG), fields.get("cmd", ""), details
    if kind in {"USER_START", "USER_END", "USER_LOGIN", "USER_AUTH"}:
        return _login(record, succeeded)
    if kind in _ACCOUNTS:
        user = fields.get("acct") or fields.get("id")
        return Kind.ACCOUNT, f"{fields.get('op', kind)} {user or ''}".strip(), known_details(("user", user))
    if kind in {"SYSTEM_BOOT", "SYSTEM_SHUTDOWN"}:
        action = "boot" if kind == "SYSTEM_BOOT" else "shutdown"
        return Kind.BOOT, action, (("action", action),)
    if kind in {"SERVICE_START", "SERVICE_STOP"}:
        unit = fields.get("unit", "")
        return (
            Kind.SERVICE,
            f"{unit}: {'started' if kind.endswith('START') else 'stopped'}",
            known_details(("unit", unit)),
        )
    if kind == "SOFTWARE_UPDATE":
        package = fields.get("sw", "")
        return (
            Kind.PACKAGE,
            f"{fields.get('op', 'update')} {package}",
            known_details(("package", _rpm_name(package))),
        )
    text = " ".join(f"{key}={value}" for key, value in list(fields.items())[:40])
    return Kind.LOG, f"{kind} {text}".strip(), ()


def _rpm_name(text: str) -> str:
    return text.rsplit("-", 2)[0] if text.count("-") >= 2 else text


def _login(record: AuditRecord, succeeded: bool) -> tuple[Kind, str, _Details]:
    fields, kind = record.fields, record.type
    program = fields.get("exe", "").rpartition("/")[2]
    who = fields.get("acct") or fields.get("id") or ""
    action = "failed" if not succeeded else "opened"
    if succeeded and program in _LOGIN_PROGRAMS and fields.get("op", "").startswith("PAM:session_"):
        action = {"USER_START": "login", "USER_END": "logout"}.get(kind, "opened")
    details = (
        ("action", action),
        *known_details(
            ("user", who), ("from", fields.get("addr") or fields.get("hostname")),
            ("line", fields.get("terminal")), ("service", program), ("op", fields.get("op")),
        ),
    )  # fmt: skip
    is_login = action != "opened" or kind == "USER_LOGIN"
    return (
        (Kind.LOGIN if is_login else Kind.LOG),
        f"{program}: {fields.get('op', kind)} of {who} ({action})",
        details,
    )
