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

import dataclasses
from collections.abc import Callable, Iterator

from guestrepair.analyzers.base import Analyzer, Context
from guestrepair.analyzers.sshd.chroot import check_chroot
from guestrepair.analyzers.sshd.components import check_helpers, check_libraries
from guestrepair.analyzers.sshd.config import check_config
from guestrepair.analyzers.sshd.enabled import check_enabled
from guestrepair.analyzers.sshd.facts import SshdFacts
from guestrepair.analyzers.sshd.hostkeys import check_host_keys
from guestrepair.analyzers.sshd.login import check_login
from guestrepair.analyzers.sshd.login_rules import LOG_RULES, LOGIN_RULES
from guestrepair.analyzers.sshd.logs import with_log_evidence
from guestrepair.analyzers.sshd.pam_rules import check_pam
from guestrepair.analyzers.sshd.privsep import check_directory
from guestrepair.analyzers.sshd.rules import CONFIG_RULES, SERVER_RULES
from guestrepair.analyzers.sshd.server import find_server
from guestrepair.analyzers.sshd.strict_modes import check_strict_modes
from guestrepair.analyzers.sshd.user import check_user
from guestrepair.analyzers.sshd.wrappers import check_wrappers
from guestrepair.errors import FormatError, GuestReadError
from guestrepair.model import Finding, Inconclusive
from guestrepair.system.usrmerge import as_if_linked, broken_links

Check = Callable[[SshdFacts], Iterator[Finding | Inconclusive]]

CHECKS: tuple[Check, ...] = (
    check_config,
    check_directory,
    check_user,
    check_host_keys,
    check_helpers,
    check_libraries,
    check_pam,
    check_strict_modes,
    check_chroot,
    check_login,
    check_wrappers,
    check_enabled,
)


def analyze(context: Context) -> Iterator[Finding | Inconclusive]:
    """Judge the guest's sshd; nothing when none is installed.

    A lost /bin or /lib64 link is the packages analyzer's finding: here the guest is judged as it will be
    once the link is made again, or everything below it would read as missing. Each check stands alone:
    one that could not read what it needs says so, and the others go on.
    """
    linked = as_if_linked(context.guest, broken_links(context.guest, context.packages))
    context = dataclasses.replace(context, guest=linked)
    server = find_server(context)
    if server is None:
        return
    facts = SshdFacts(context, server)
    findings: list[Finding] = []
    unread: set[Inconclusive] = set()
    if server.unread:
        unread.add(facts.inconclusive(f"{server.binary} cannot be read, and says nothing: {server.unread}"))
    for check in CHECKS:
        try:
            for result in check(facts):
                if isinstance(result, Finding):
                    findings.append(result)
                else:
                    unread.add(result)
        except (GuestReadError, FormatError) as error:
            unread.add(facts.inconclusive(error.message))
    yield from with_log_evidence(facts, findings)
    yield from sorted(unread, key=lambda one: one.reason)


ANALYZER = Analyzer(
    name="sshd",
    summary="everything that would make the guest's own sshd refuse to start or refuse a login",
    rules=(*SERVER_RULES, *CONFIG_RULES, *LOGIN_RULES, *LOG_RULES),
    analyze=analyze,
)
