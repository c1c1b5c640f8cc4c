"""ufw: the rules that its files make, as ufw-init puts them together.

Sources: ufw(8), ufw-framework(8), and the order of ufw's ``src/ufw-init-functions``.
"""

from __future__ import annotations

from collections.abc import Iterator

from guestrepair.formats.firewall.iptables import parse_iptables
from guestrepair.formats.firewall.rules import Kind, Place, Ruleset
from guestrepair.formats.lines import byte_lines
from guestrepair.model import GuestPath
from guestrepair.system.fact import parsed
from guestrepair.system.firewall.files import FirewallFiles, assignments

UFW_CONF = GuestPath("/etc/ufw/ufw.conf")
DEFAULTS = GuestPath("/etc/default/ufw")
FOLDER = "/etc/ufw"
_DIRECTIONS = ("input", "output")


def load_ufw(files: FirewallFiles) -> Ruleset:
    """What ufw-init leaves in the kernel."""
    data = files.read(str(DEFAULTS)) or b""
    settings = assignments(data)
    ruleset = Ruleset()
    for script in ("before.init", "after.init"):
        found = files.guest.stat(GuestPath(FOLDER) / script)
        if found is not None and found.is_file and found.permissions & 0o100:
            ruleset.doubts.append(f"{FOLDER}/{script} is run, too")
    _family(files, ruleset, settings, "ip")
    if settings.get("IPV6", "").lower() == "yes":
        _family(files, ruleset, settings, "ip6")
    else:
        _restore(
            b"*filter\n:INPUT DROP\n:OUTPUT DROP\n-A INPUT -i lo -j ACCEPT\nCOMMIT\n", "ip6", ruleset, files
        )
    for table in ruleset.tables.values():
        for direction in _DIRECTIONS:
            chain = table.chains[direction.upper()]
            if chain.policy is Kind.DROP:
                chain.policy_place = _place(data, f"DEFAULT_{direction.upper()}_POLICY")
    return ruleset


def _family(files: FirewallFiles, ruleset: Ruleset, settings: dict[str, str], family: str) -> None:
    kind = "6" if family == "ip6" else ""
    policies = {d: settings.get(f"DEFAULT_{d.upper()}_POLICY", "DROP") for d in _DIRECTIONS}
    _restore("\n".join(_primary(kind, policies)).encode(), family, ruleset, files)
    for name in ("before", "after", "user"):
        path = f"{FOLDER}/{name}{kind}.rules"
        data = files.read(path)
        if data:
            _restore(data, family, ruleset, files, path)
    lines = ["*filter"]
    for direction in _DIRECTIONS:
        lines.append(f"-A ufw{kind}-before-{direction} -j ufw{kind}-user-{direction}")
        policy = "ACCEPT" if policies[direction] == "ACCEPT" else "DROP"
        lines.append(f":{direction.upper()} {policy} [0:0]")
    _restore("\n".join([*lines, "COMMIT\n"]).encode(), family, ruleset, files)


def _primary(kind: str, policies: dict[str, str]) -> Iterator[str]:
    """The chains that ufw makes itself."""
    yield "*filter"
    for direction in _DIRECTIONS:
        stages = ("before-logging", "before", "after", "after-logging", "reject", "track")
        yield from (f":ufw{kind}-{stage}-{direction} -" for stage in stages)
        yield from (
            f":ufw{kind}-{stage}-{direction} -" for stage in ("user", "user-logging", "skip-to-policy")
        )
        yield from (f"-A {direction.upper()} -j ufw{kind}-{stage}-{direction}" for stage in stages)
        policy = policies[direction]
        if policy == "REJECT":
            yield f"-A ufw{kind}-reject-{direction} -j REJECT"
        if policy == "ACCEPT":
            yield f"-A ufw{kind}-track-{direction} -p tcp -m conntrack --ctstate NEW -j ACCEPT"
        yield f"-A ufw{kind}-skip-to-policy-{direction} -j {policy}"
    yield from (
        f":ufw{kind}-{name} -"
        for name in ("logging-deny", "logging-allow", "user-limit", "user-limit-accept")
    )
    yield from ("COMMIT", "")


def _restore(
    text: bytes, family: str, ruleset: Ruleset, files: FirewallFiles, path: str = str(DEFAULTS)
) -> None:
    parsed(lambda d: parse_iptables(d, path, family, files.services, into=ruleset), text, path)


def _place(data: bytes, name: str) -> Place:
    """The line of /etc/default/ufw that sets a name; the first line where none does."""
    start, found = 0, Place(str(DEFAULTS), 1, 0, 0)
    for number, raw in enumerate(byte_lines(data), 1):
        if raw.strip().startswith(name.encode()):
            found = Place(str(DEFAULTS), number, start, start + len(raw))
        start += len(raw) + 1
    return found
