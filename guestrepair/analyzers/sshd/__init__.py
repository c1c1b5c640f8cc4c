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

from collections.abc import Callable, Iterator

from guestrepair.analyzers.base import Analyzer, Context
from guestrepair.analyzers.sshd.config import check_config
from guestrepair.analyzers.sshd.facts import SshdFacts
from guestrepair.analyzers.sshd.hostkeys import check_host_keys
from guestrepair.analyzers.sshd.privsep import check_directory
from guestrepair.analyzers.sshd.rules import CONFIG_RULES, SERVER_RULES
from guestrepair.analyzers.sshd.server import find_server
from guestrepair.analyzers.sshd.user import check_user
from guestrepair.errors import GuestReadError
from guestrepair.model import Finding, Inconclusive

Check = Callable[[SshdFacts], Iterator[Finding | Inconclusive]]

CHECKS: tuple[Check, ...] = (check_config, check_directory, check_user, check_host_keys)


def analyze(context: Context) -> Iterator[Finding | Inconclusive]:
    """Judge the guest's sshd; nothing when none is installed.

    Each check stands alone: one that could not read what it needs says so, and the others go on.
    """
    server = find_server(context)
    if server is None:
        return
    facts = SshdFacts(context, server)
    for check in CHECKS:
        try:
            yield from check(facts)
        except GuestReadError as error:
            yield facts.inconclusive(
                f"{check.__name__.removeprefix('check_').replace('_', ' ')}: {error.message}"
            )


ANALYZER = Analyzer(
    name="sshd",
    summary="everything that would make the guest's own sshd refuse to start or refuse a login",
    rules=(*SERVER_RULES, *CONFIG_RULES),
    analyze=analyze,
)
