"""sshd: everything that would make this guest's own sshd refuse to start or refuse a login.

Finds: what stops the server (privilege separation, configuration, host keys,
helper programs, libraries, units) and what stops a login (modes of
authorized_keys, nologin, shells, access lists). Matters, since a machine that
cannot be logged in to over ssh cannot be repaired over ssh. Evidence: the files
themselves, and the lines in the guest's logs in which sshd complains. Repairs:
modes, owners, directories and lines of configuration are safe; new host keys
and anything that widens access are for review. Limits: nothing of the guest
runs, so what depends on the network, on LDAP or on a token is not judged.
Sources: sshd(8), sshd_config(5), and the OpenSSH source files named with each rule.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from guestrepair.analyzers.base import Analyzer, Check, Context
from guestrepair.analyzers.not_understood import not_understood, notes
from guestrepair.analyzers.sshd.access import has_credentials, somebody_gets_in
from guestrepair.analyzers.sshd.chroot import CHROOT_DIRECTORY, check_chroot
from guestrepair.analyzers.sshd.components import (
    HELPER_MISSING,
    LIBRARY_MISSING,
    check_helpers,
    check_libraries,
)
from guestrepair.analyzers.sshd.config import (
    CONFIG_DEPRECATED,
    CONFIG_MISSING,
    CONFIG_SYNTAX,
    check_config,
)
from guestrepair.analyzers.sshd.enabled import UNIT_DISABLED, check_enabled
from guestrepair.analyzers.sshd.hostkeys import (
    HOST_KEY_CORRUPT,
    HOST_KEY_MISSING,
    HOST_KEY_REFUSED,
    HOST_KEY_UNSAFE,
    check_host_keys,
    without_new_keys,
)
from guestrepair.analyzers.sshd.inconclusive import NAME, inconclusive
from guestrepair.analyzers.sshd.key_files import REVOKED_KEYS_UNREADABLE, check_key_files
from guestrepair.analyzers.sshd.listening import (
    LISTEN_ADDRESS,
    PORT_TAKEN,
    check_listen_address,
    check_ports,
)
from guestrepair.analyzers.sshd.login import LOGIN_BLOCKED, check_login
from guestrepair.analyzers.sshd.logs import LOG_EVIDENCE, with_log_evidence
from guestrepair.analyzers.sshd.pam_rules import check_pam
from guestrepair.analyzers.sshd.peers import Key, keeps_out, key_of, softened
from guestrepair.analyzers.sshd.privsep import PRIVSEP_DIR_MISSING, PRIVSEP_DIR_UNSAFE, check_directory
from guestrepair.analyzers.sshd.strict_modes import STRICT_MODES, check_strict_modes
from guestrepair.analyzers.sshd.user import PRIVSEP_USER_MISSING, check_user
from guestrepair.analyzers.sshd.user_keys import NO_USABLE_KEY, check_user_keys
from guestrepair.analyzers.sshd.wrappers import TCP_WRAPPERS, check_wrappers
from guestrepair.errors import FormatError, GuestReadError
from guestrepair.model import Finding, Inconclusive
from guestrepair.system.sshd.sshd import Sshd


def check_binary(sshd: Sshd) -> Iterator[Inconclusive]:
    """Say that the server's own word is missing, where it cannot be read."""
    server = sshd.server
    if server.unread:
        yield inconclusive(f"{server.binary} cannot be read, and says nothing: {server.unread}")


NOT_UNDERSTOOD = not_understood(
    NAME,
    "An option on the command line of the unit that starts sshd that no sshd is known to have: it would end"
    " with its usage. What sshd_config, PAM and keys have that is not known are findings of their own.",
    example="ExecStart=/usr/sbin/sshd -D --verbose",
    sources=("sshd(8), OPTIONS",),
)


def check_words(sshd: Sshd) -> Iterator[Finding]:
    """not-understood."""
    yield from notes(NOT_UNDERSTOOD, [sshd.strange] if sshd.strange is not None else [])


Judge = Callable[[Sshd], Iterator[Finding | Inconclusive]]
DatedJudge = Callable[[Sshd, dt.datetime], Iterator[Finding | Inconclusive]]


def _where_installed(check: Judge) -> Check:
    """The check of a guest; it has nothing to say where no sshd is installed."""
    return lambda context: _of_each(context, check)


def _by_date(check: DatedJudge) -> Check:
    """The same of a check that has to know the time."""
    return lambda context: _of_each(context, lambda sshd: check(sshd, context.options.time))


def _of_each(context: Context, check: Judge) -> Iterator[Finding | Inconclusive]:
    """Judge each sshd that boot starts; what is wrong with several of them is said once."""
    said: set[object] = set()
    failed: GuestReadError | FormatError | None = None
    for sshd in context.system.sshds:
        try:
            for result in check(sshd):
                key = (result.rule, result.subject) if isinstance(result, Finding) else result
                if key not in said:
                    said.add(key)
                    yield result
        except (GuestReadError, FormatError) as error:
            failed = failed or error  # it must not hide what is wrong with the next one
    if failed is not None:
        raise failed


def check_units(context: Context) -> Iterator[Inconclusive]:
    """Say which units cannot be read: one of them may start an sshd."""
    for unit in context.system.sshd_instances.unread:
        yield inconclusive(f"{unit.path} cannot be read: {unit.reason}")


_CHECKS = (
    check_binary,
    check_config,
    check_directory,
    check_user,
    check_host_keys,
    check_helpers,
    check_libraries,
    check_pam,
    check_strict_modes,
    check_chroot,
    check_wrappers,
    check_enabled,
    check_listen_address,
    check_ports,
    check_words,
)

_DATED = (check_login, check_user_keys, check_key_files)


def _corroborated(context: Context, findings: Sequence[Finding]) -> Sequence[Finding]:
    if context.options.profile == "golden":
        findings = without_new_keys(findings)
    return with_log_evidence(context, softened(context.system.sshds, findings, partial(_stops, context)))


def _stops(context: Context, sshd: Sshd) -> frozenset[Key] | None:
    """What keeps everybody out of one sshd; None where that cannot be told."""
    now = context.options.time
    found: list[Finding | Inconclusive] = []
    try:
        for check in _CHECKS:
            found += check(sshd)
        for dated in _DATED:
            found += dated(sshd, now)
        equipped = any(has_credentials(sshd, account) for account in sshd.accounts.login)
        lets_in = somebody_gets_in((sshd,), now) or not equipped
    except (GuestReadError, FormatError):
        return None
    if any(isinstance(each, Inconclusive) for each in found) or not lets_in:
        return None
    return frozenset(key_of(each) for each in found if isinstance(each, Finding) and keeps_out(each))


ANALYZER = Analyzer(
    name=NAME,
    summary="everything that would make the guest's own sshd refuse to start or refuse a login",
    rules=(
        PRIVSEP_DIR_MISSING,
        PRIVSEP_DIR_UNSAFE,
        PRIVSEP_USER_MISSING,
        HOST_KEY_UNSAFE,
        HOST_KEY_MISSING,
        HOST_KEY_CORRUPT,
        CONFIG_MISSING,
        CONFIG_SYNTAX,
        CONFIG_DEPRECATED,
        STRICT_MODES,
        CHROOT_DIRECTORY,
        HELPER_MISSING,
        LIBRARY_MISSING,
        LOGIN_BLOCKED,
        NO_USABLE_KEY,
        REVOKED_KEYS_UNREADABLE,
        HOST_KEY_REFUSED,
        LISTEN_ADDRESS,
        PORT_TAKEN,
        TCP_WRAPPERS,
        UNIT_DISABLED,
        LOG_EVIDENCE,
        NOT_UNDERSTOOD,
    ),
    checks=(
        check_units,
        *map(_where_installed, _CHECKS),
        *map(_by_date, _DATED),
    ),
    corroborate=_corroborated,
)
