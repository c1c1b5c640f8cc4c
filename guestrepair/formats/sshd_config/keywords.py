"""The keywords of sshd_config by release: what each takes, since when, and whether Match allows it.

Facts read off the keyword tables of OpenSSH 5.0 to 10.5 (servconf.c) and of the
patches of Debian and Red Hat. Deprecated and unsupported keywords are accepted
with any argument and do nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

Release = tuple[int, int]
EVER: Release = (0, 0)
NEVER: Release = (999, 0)


@dataclass(frozen=True, slots=True)
class Keyword:
    """One keyword.

    ``kind`` names the argument's form (see ``values.py``). It exists from
    ``since`` up to but not including ``gone``; from ``ignored`` on it is
    accepted and does nothing. ``match`` is the release from which a Match
    block may hold it.
    """

    name: str
    kind: str
    since: Release = EVER
    match: Release = NEVER
    ignored: Release = NEVER
    gone: Release = NEVER
    vendor: bool = False

    def exists(self, release: Release) -> bool:
        """True when that release knows the keyword."""
        return self.since <= release < self.gone

    def is_ignored(self, release: Release) -> bool:
        """True when that release accepts it and does nothing."""
        return release >= self.ignored

    def allowed_in_match(self, release: Release) -> bool:
        """True when that release takes it inside a Match block."""
        return release >= self.match


def _rows(kind: str, names: str, since: Release = EVER, match: Release = NEVER) -> list[Keyword]:
    return [Keyword(name, kind, since, match) for name in names.split()]


def _ignored(names: str, ignored: Release = EVER, match: Release = NEVER, kind: str = "any") -> list[Keyword]:
    return [Keyword(name, kind, EVER, match, ignored) for name in names.split()]


def _vendor(kind: str, names: str, *, match: bool = False, ignored: bool = False) -> list[Keyword]:
    in_match = EVER if match else NEVER
    dead = EVER if ignored else NEVER
    return [Keyword(name, kind, EVER, in_match, dead, vendor=True) for name in names.split()]


ROWS: tuple[Keyword, ...] = (
    *_rows("port", "port"),
    *_rows("file", "hostkey hostdsakey pidfile xauthlocation"),
    *_rows("file", "hostcertificate", (5, 4)),
    *_rows("file", "modulifile", (8, 6)),
    *_rows("file", "sshdsessionpath", (9, 8)),
    *_rows("file", "sshdauthpath", (10, 0)),
    *_rows("file", "banner", match=EVER),
    *_rows("file", "revokedkeys trustedusercakeys", (5, 4), (5, 4)),
    *_rows("string", "hostkeyagent", (6, 3)),
    *_rows("string", "securitykeyprovider", (8, 2)),
    *_rows("string", "pamservicename", (9, 8), (9, 8)),
    *_rows("string", "chrootdirectory", match=EVER),
    *_rows("string", "authorizedprincipalsfile", (5, 6), (5, 6)),
    *_rows("string", "authorizedkeyscommanduser", (6, 2), (6, 2)),
    *_rows("string", "authorizedprincipalscommanduser", (6, 9), (6, 9)),
    *_rows("command", "authorizedkeyscommand", (6, 2), (6, 2)),
    *_rows("command", "authorizedprincipalscommand", (6, 9), (6, 9)),
    *_rows("rest", "forcecommand", match=EVER),
    *_rows("version", "versionaddendum", (6, 1)),
    *_rows("time", "logingracetime"),
    *_rows("time", "clientaliveinterval", match=(7, 4)),
    *_rows("int", "clientalivecountmax", match=(7, 4)),
    *_rows("int", "x11displayoffset", match=EVER),
    *_rows("int", "maxauthtries", match=(5, 1)),
    *_rows("int", "maxsessions", (5, 1), (5, 1)),
    *_rows("int", "requiredrsasize", (9, 1), (9, 1)),
    *_rows("startups", "maxstartups"),
    *_rows("sourcestartups", "persourcemaxstartups", (8, 5)),
    *_rows("netblock", "persourcenetblocksize", (8, 5)),
    *_rows("penalties", "persourcepenalties", (9, 8)),
    *_rows("addresslist", "persourcepenaltyexemptlist", (9, 8)),
    *_rows("listen", "listenaddress"),
    *_rows("family", "addressfamily"),
    *_rows("rootlogin", "permitrootlogin", match=EVER),
    *_rows("facility", "syslogfacility"),
    *_rows("level", "loglevel", match=(7, 6)),
    *_rows("logverbose", "logverbose", (8, 5), (8, 5)),
    *_rows("flag", "usepam ignoreuserknownhosts printmotd printlastlog strictmodes tcpkeepalive keepalive"),
    *_rows("flag", "usedns kerberosorlocalpasswd kerberosticketcleanup gssapicleanupcredentials"),
    *_rows("flag", "gssapistrictacceptorcheck", (6, 9)),
    *_rows("flag", "dsaauthentication"),
    *_rows("flag", "hostbasedauthentication pubkeyauthentication kerberosauthentication", match=EVER),
    *_rows("flag", "gssapiauthentication passwordauthentication x11forwarding x11uselocalhost", match=EVER),
    *_rows("flag", "kbdinteractiveauthentication", match=EVER),
    *_rows("flag", "challengeresponseauthentication", match=(8, 7)),
    *_rows("flag", "hostbasedusesnamefrompacketonly", match=(5, 6)),
    *_rows("flag", "permitemptypasswords", match=(5, 2)),
    *_rows("flag", "allowagentforwarding", (5, 1), (5, 1)),
    *_rows("flag", "permittty", (6, 5), (6, 5)),
    *_rows("flag", "permituserrc streamlocalbindunlink", (6, 7), (6, 7)),
    *_rows("flag", "disableforwarding", (7, 4), (7, 4)),
    *_rows("flag", "exposeauthinfo", (7, 6), (7, 6)),
    *_rows("flag", "refuseconnection", (9, 9), (9, 9)),
    *_rows("flag", "gssapidelegatecredentials", (10, 3)),
    *_rows("ignorerhosts", "ignorerhosts", match=(8, 3)),
    *_rows("userenvironment", "permituserenvironment"),
    *_rows("compression", "compression"),
    *_rows("gatewayports", "gatewayports", match=EVER),
    *_rows("forwarding", "allowtcpforwarding", match=EVER),
    *_rows("forwarding", "allowstreamlocalforwarding", (6, 7), (6, 7)),
    *_rows("rekey", "rekeylimit", (6, 3), (6, 3)),
    *_rows("users", "allowusers denyusers", match=(6, 1)),
    *_rows("groups", "allowgroups denygroups", match=(6, 1)),
    *_rows("ciphers", "ciphers"),
    *_rows("macs", "macs"),
    *_rows("kex", "kexalgorithms", (5, 7)),
    *_rows("keytypes", "hostkeyalgorithms", (7, 0)),
    *_rows("keytypes", "hostbasedacceptedkeytypes pubkeyacceptedkeytypes", (6, 8), (6, 8)),
    *_rows("keytypes", "hostbasedacceptedalgorithms pubkeyacceptedalgorithms", (8, 5), (8, 5)),
    *_rows("keytypes", "casignaturealgorithms", (7, 9), (7, 9)),
    *_rows("subsystem", "subsystem", match=(9, 5)),
    *_rows("words", "authorizedkeysfile", match=(5, 6)),
    *_rows("acceptenv", "acceptenv", match=(6, 1)),
    *_rows("setenv", "setenv", (7, 8), (7, 8)),
    *_rows("tunnel", "permittunnel", match=(5, 6)),
    *_rows("match", "match", match=EVER),
    *_rows("include", "include", (8, 2), (8, 2)),
    *_rows("permitopen", "permitopen", match=EVER),
    *_rows("permitlisten", "permitlisten", (7, 8), (7, 8)),
    *_rows("ipqos", "ipqos", (5, 7), (5, 7)),
    *_rows("methods", "authenticationmethods", (6, 2), (6, 2)),
    *_rows("mask", "streamlocalbindmask", (6, 7), (6, 7)),
    *_rows("digest", "fingerprinthash", (6, 8)),
    *_rows("rdomain", "rdomain", (7, 7), (7, 7)),
    *_rows("keyoptions", "pubkeyauthoptions", (8, 2), (8, 2)),
    *_rows("timeouts", "channeltimeout", (9, 2), (9, 2)),
    *_rows("timeout", "unusedconnectiontimeout", (9, 2), (9, 2)),
    # Accepted, and without effect.
    *_ignored("pamauthenticationviakbdint rhostsauthentication checkmail verifyreversemapping"),
    *_ignored("reversemappingcheck kerberostgtpassing afstokenpassing kerberosgetafstoken"),
    *_ignored("authorizedkeysfile2", (5, 9), (5, 6), "string"),
    *_ignored("rhostsrsaauthentication rsaauthentication", (7, 4), EVER, "flag"),
    *_ignored("serverkeybits", (7, 4), kind="int"),
    *_ignored("keyregenerationinterval", (7, 4), kind="time"),
    *_ignored("uselogin", (7, 4), kind="flag"),
    *_ignored("protocol", (7, 4), kind="protocol"),
    *_ignored("useprivilegeseparation", (7, 5), kind="privsep"),
    Keyword("skeyauthentication", "flag", ignored=(7, 8), gone=(8, 7)),
    Keyword("skeyauthentication", "flag", since=(8, 7), match=(8, 7)),
    Keyword("zeroknowledgepasswordauthentication", "flag", (5, 2), (5, 2), EVER, (6, 6)),
    # Debian's and Red Hat's patches.
    *_vendor("flag", "debianbanner gssapikeyexchange gssapistorecredentialsonrekey gssapicleanupcreds"),
    *_vendor("gsskex", "gssapikexalgorithms"),
    *_vendor("any", "gssusesessionccache gssapiusesessioncredcache", ignored=True),
    *_vendor("flag", "gssapienablek5users kerberosusekuserok kerberosuniqueccache", match=True),
    *_vendor("flag", "exposeauthenticationmethods showpatchlevel"),
    *_vendor(
        "string", "authorizedkeyscommandrunas requiredauthentications1 requiredauthentications2", match=True
    ),
    *_vendor("int", "rsaminsize x11maxdisplays", match=True),
    Keyword("requiredrsasize", "int", (8, 0), (8, 0), vendor=True),
)

_NAMES = frozenset(row.name for row in ROWS)
_BY_NAME = {name: tuple(row for row in ROWS if row.name == name) for name in _NAMES}

VENDOR_FAMILIES = {
    "debian": "debianbanner gssapikeyexchange gssapistorecredentialsonrekey gssapikexalgorithms"
    " gssapicleanupcreds gssusesessionccache gssapiusesessioncredcache",
    "rhel": "gssapikeyexchange gssapistorecredentialsonrekey gssapikexalgorithms gssapienablek5users"
    " kerberosusekuserok kerberosuniqueccache exposeauthenticationmethods showpatchlevel"
    " authorizedkeyscommandrunas requiredauthentications1 requiredauthentications2 rsaminsize"
    " x11maxdisplays requiredrsasize"
    " gssapicleanupcreds gssusesessionccache gssapiusesessioncredcache",
}
"""Which vendor's sshd has which of the patched keywords; other families are taken to have them all."""

VENDOR_ALIASES = {"ubuntu": "debian", "fedora": "rhel", "amazon": "rhel"}


def find_keyword(name: str, release: Release, family: str) -> Keyword | None:
    """The keyword as that release of that distribution family has it, or None."""
    wanted = name.lower()
    vendor = VENDOR_FAMILIES.get(VENDOR_ALIASES.get(family, family))
    for row in _BY_NAME.get(wanted, ()):
        if row.exists(release):
            if row.vendor and vendor is not None and wanted not in vendor.split():
                continue
            return row
    return None


def known_names() -> frozenset[str]:
    """Every keyword of any release, for suggestions."""
    return _NAMES
