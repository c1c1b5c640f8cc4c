"""guestrepair.toml: what it says is read so, and every slip is one line: file, line and what to do."""

from __future__ import annotations

import datetime as dt
import time
from pathlib import Path

import pytest

from guestrepair.analyzers.base import all_rules
from guestrepair.errors import FormatError, UsageError
from guestrepair.formats.toml_lines import MAX_LINE, MAX_SIZE_BYTES
from guestrepair.model import GuestPath, Severity
from guestrepair.model.requirements import (
    AccountRequirement,
    PackageRequirement,
    ParameterRequirement,
    PathRequirement,
    UnitRequirement,
)
from guestrepair.policy.explain import explain
from guestrepair.policy.model import Ignore, Override, Policy
from guestrepair.policy.reading import parse_policy, read_policy
from guestrepair.policy.requirements import SUBJECTS

HERE = Path(__file__).parent
RULES = (
    "boot/kernel-missing",
    "boot/loader-missing",
    "fstab/order",
    "fstab/source-not-found",
    "fstab/source-type",
    "sshd/config-syntax",
    "sshd/hostkey-missing",
)
NAME = "guestrepair.toml"
TODAY = dt.date(2026, 12, 1)
WHOLE = (HERE / "whole.toml").read_bytes()
IGNORE = '[[ignore]]\nrule = "fstab/*"\nreason = "known"\n'


def read(text: str | bytes) -> Policy:
    return parse_policy(text.encode() if isinstance(text, str) else text, NAME, RULES)


def test_a_whole_policy() -> None:
    policy = read(WHOLE)
    assert (policy.platforms, policy.profile, policy.fail_on) == (("kvm", "azure-gen2"), "golden", "warning")
    assert policy.overrides == (
        Override(rule="sshd/*", severity=Severity.WARNING, place=f"{NAME}:8"),
        Override(rule="sshd/config-syntax", severity=Severity.ERROR, place=f"{NAME}:9"),
        Override(rule="fstab", severity=Severity.NOTE, place=f"{NAME}:38", platform="kvm"),
    )
    assert policy.ignores == (
        Ignore(
            rule="fstab/source-not-found",
            subject="/etc/fstab",
            reason="the disk is lent until spring",
            expires=dt.date(2027, 3, 1),
            place=f"{NAME}:12",
        ),
        Ignore(rule="boot/*", reason="on purpose", place=f"{NAME}:41", platform="kvm"),
    )
    assert policy.requirements == (
        PathRequirement(
            path=GuestPath("/etc/motd"),
            mode=0o644,
            owner="root",
            group="root",
            kind="file",
            sha256="0" * 64,
            contains=("ACME",),
            matches=("Welcome*to ACME",),
            reason="the lawyers want it",
            place=f"{NAME}:18",
        ),
        PathRequirement(
            path=GuestPath("/etc/nologin"), exists=False, severity=Severity.WARNING, place=f"{NAME}:29"
        ),
        PackageRequirement(
            name="qemu-guest-agent",
            versions=((">=", "1:7"), ("<", "1:9")),
            severity=Severity.WARNING,
            place=f"{NAME}:30",
        ),
        UnitRequirement(name="qemu-guest-agent.service", severity=Severity.WARNING, place=f"{NAME}:32"),
        AccountRequirement(name="vagrant", present=False, severity=Severity.WARNING, place=f"{NAME}:33"),
        ParameterRequirement(name="console", value="ttyS0*", severity=Severity.WARNING, place=f"{NAME}:34"),
    )


def test_a_policy_in_plain_english() -> None:
    assert "\n".join(explain(read(WHOLE), RULES, TODAY)) + "\n" == (HERE / "whole.txt").read_text()


def test_an_empty_policy_does_nothing() -> None:
    assert read("") == Policy(path=NAME)
    assert list(explain(read(""), RULES, TODAY)) == [f"{NAME}:", "  nothing: it is empty"]


SLIPS = [
    ("[policy]\nfail-onn = 'note'", "2: [policy] has no key 'fail-onn'; did you mean 'fail-on'?"),
    ("polcy = 1", "1: a policy has no key 'polcy'; did you mean 'policy'?"),
    ("policy = 1", "1: [policy] must be a table; write its keys below that header"),
    ("[policy]\n\nprofile = 'gold'", "3: profile is no 'gold'; did you mean 'golden'?"),
    ("[policy]\nprofile = 3", '2: profile must be a text, not a number; write profile = "…"'),
    ("[policy]\nfail-on = 'info'", "2: fail-on is no 'info'; there are: error, never, note, warning"),
    (
        "[policy]\nplatform = [1]",
        '2: platform must be a text or an array of texts; write platform = ["…", "…"]',
    ),
    (
        "[severity]\n# x\n'fstab/source-typ' = 'note'",
        "3: no rule is called 'fstab/source-typ'; did you mean 'fstab/source-type'?",
    ),
    ("[severity]\n'fstab/*' = 'mild'", "2: fstab/* is no 'mild'; there are: error, note, warning"),
    (
        "[severity]\n'fstab/*' = 'note'\n'fstab/source-*' = 'error'",
        (
            "3: 'fstab/source-*' and 'fstab/*' (line 2) give fstab/source-not-found different severities;"
            ' say "fstab/source-not-found" by its name, too'
        ),
    ),
    ("ignore = 'x'", "1: ignore must be an array of tables; begin each with [[ignore]]"),
    ("[[ignore]]\nrule = 'fstab/*'\n", '1: an ignore without a reason; add reason = "…" below [[ignore]]'),
    (
        "[[ignore]]\nrule = 'fstab/*'\nreason = ' '",
        "3: reason is empty; say what is meant, or take the line out",
    ),
    ("[[ignore]]\nreason = 'x'", '1: an ignore without a rule; add rule = "…" below [[ignore]]'),
    (IGNORE + "expires = '2027-01-01'", "4: expires must be a date, not a text; write expires = 2027-03-01"),
    (
        IGNORE + "expires = 2027-01-01T00:00:00Z",
        "4: expires must be a date, not a date or time; write expires = 2027-03-01",
    ),
    (
        IGNORE + "until = 2027-01-01",
        "4: [[ignore]] has no key 'until'; there are: expires, reason, rule, subject",
    ),
    (
        IGNORE + "[[ignore]]\nrule = 'fstab/ordr'\nreason = 'x'",
        "5: no rule is called 'fstab/ordr'; did you mean 'fstab/order'?",
    ),
    (IGNORE + IGNORE, "5: fstab/* is ignored in line 2 already; take one of the two out"),
    (
        "[[ignore]]\nrule = 'fstab/*@/a'\nsubject = '/b'\nreason = 'x'",
        "2: the subject stands twice, or not at all; write it once",
    ),
    (
        "[[require]]\nreason = 'x'",
        (
            "1: [[require]] requires nothing; name one of: path, path-absent, package, package-absent,"
            " service-enabled, service-disabled, account, account-absent, kernel-parameter,"
            " kernel-parameter-absent"
        ),
    ),
    ("[[require]]\nmode = '0644'", '2: mode is about no path; add path = "/…"'),
    ("[[require]]\nversion = '1'", '2: version is about no package; add package = "…"'),
    (
        "[[require]]\npath = 'etc/motd'",
        "2: 'etc/motd' is no absolute path of a guest; write path = \"/etc/motd\"",
    ),
    (
        "[[require]]\npath = '/a/../b'",
        "2: '/a/../b' is no absolute path of a guest; write path = \"/etc/motd\"",
    ),
    ("[[require]]\npath = '/a'\nmode = 644", '3: mode must be a text, not a number; write mode = "…"'),
    ("[[require]]\npath = '/a'\nmode = 'rw'", "3: 'rw' is no mode; write four octal digits: mode = \"0644\""),
    (
        "[[require]]\npath = '/a'\nexists = 'no'",
        "3: exists must be true or false, not a text; write exists = true",
    ),
    (
        "[[require]]\npath = '/a'\nexists = false\nmode = '0644'",
        "4: mode of a path that is not to exist; take exists = false or this out",
    ),
    (
        "[[require]]\npath = '/a'\ntype = 'directory'\ncontains = 'x'",
        '4: contains of a path that is to be a directory; write type = "file"',
    ),
    (
        "[[require]]\npath = '/a'\ndigest = 'md5:1'",
        '3: that is no SHA-256; write digest = "sha256:…", as sha256sum(1) prints it',
    ),
    ("[[require]]\npath = '/a'\nmatches = \"a\\nb\"", "3: a pattern of more than one line; use contains"),
    (
        "[[require]]\npackage = 'a'\nversion = '=> 1'",
        "3: '=> 1' is no range; write version = \">= 1.2, < 2\"",
    ),
    ("[[require]]\nservice-enabled = 'a/b'", "2: 'a/b' is no unit; write service-enabled = \"sshd.service\""),
    (
        "[[require]]\nkernel-parameter = 'a b'",
        "2: 'a b' is no kernel parameter; write kernel-parameter = \"console=ttyS0\"",
    ),
    (
        "[[require]]\npath = '/a'\n[[require]]\npath-absent = '/a'",
        "4: /a: contradicts the requirement of line 2; take one of the two out",
    ),
    (
        "[[require]]\npath = '/a'\nmode = '0644'\n[[require]]\npath = '/a'\nmode = '0600'",
        "5: /a: contradicts the requirement of line 2; take one of the two out",
    ),
    (
        "[[require]]\npackage = 'a'\npackage-absent = 'a'",
        "3: a: contradicts the requirement of line 2; take one of the two out",
    ),
    (
        "[[require]]\nservice-enabled = 'a'\nservice-disabled = ['b', 'a.service']",
        "3: a.service: contradicts the requirement of line 2; take one of the two out",
    ),
    (
        "[[require]]\naccount = 'a'\naccount-absent = 'a'",
        "3: a: contradicts the requirement of line 2; take one of the two out",
    ),
    (
        "[[require]]\nkernel-parameter = ['a-b=1', 'a_b=2']",
        "2: a_b: contradicts the requirement of line 2; take one of the two out",
    ),
    (
        "[[require]]\nkernel-parameter = 'quiet'\nkernel-parameter-absent = 'quiet'",
        "3: quiet: contradicts the requirement of line 2; take one of the two out",
    ),
    ("[platform]\nkvm = 1", "2: [platform.kvm] must be a table; write its keys below that header"),
    (
        "[platform.kvm]\n[platform.kvm.severity]\n'no/rule' = 'note'",
        f"3: no rule is called 'no/rule'; there are: {', '.join(RULES)}",
    ),
    (
        "[policy]\n\nfail-on 'note'",
        "3: Expected '=' after a key in a key/value pair; that is no TOML (toml.io)",
    ),
    (
        "[severity]\n'fstab/*' = 'note'\n'fstab/*' = 'error'",
        "3: Cannot overwrite a value; that is no TOML (toml.io)",
    ),
    ("[policy]\nfail-on = ", "2: Invalid value; that is no TOML (toml.io)"),
    (b"[policy]\nfail-on = '\xff'", "2: not UTF-8; save it as UTF-8"),
]


@pytest.mark.parametrize(("text", "line"), SLIPS, ids=[str(n) for n in range(len(SLIPS))])
def test_a_slip_is_one_line_with_file_line_and_what_to_do(text: str | bytes, line: str) -> None:
    with pytest.raises(FormatError) as caught:
        read(text)
    assert f"{caught.value.message}; {caught.value.hint}" == f"{NAME}:{line}"


@pytest.mark.parametrize(
    "text",
    [
        "[[require]]\nkernel-parameter = ['console=tty0', 'console=ttyS0']",
        "[[require]]\npath = '/a'\nmode = '0644'\n[[require]]\npath = '/a'\nowner = 'root'",
        "[severity]\n'fstab/*' = 'note'\n'fstab/source-not-found' = 'error'",
        "[severity]\n'fstab/*' = 'note'\n'fstab/source-*' = 'note'",
        IGNORE + "[[ignore]]\nrule = 'fstab/*'\nsubject = '/a'\nreason = 'x'",
        "[severity]\nfstab = 'note'\n[platform.kvm.severity]\nfstab = 'error'",
    ],
)
def test_what_contradicts_nothing_is_taken(text: str) -> None:
    read(text)


@pytest.mark.parametrize(
    "text",
    [
        "#" * (MAX_SIZE_BYTES + 1),
        "#" * (MAX_LINE + 1),
        "a = " + "[" * 1000,
        "\n".join("[" * 1000 for _ in range(100)),
        "a = 9" + "9" * 1000,
        "\n".join(".".join(f"a{n}" for _ in range(300)) + " = 1" for n in range(120)),
        "\n".join(f"[{'.'.join(f'b{n}' for _ in range(300))}]" for n in range(120)),
        "[[a]]\n" * 20_000,
        'a = """' + '\\"\n' * 40_000,
    ],
    ids=range(9),
)
def test_what_is_made_to_hurt_is_refused_in_time(text: str) -> None:
    started = time.process_time()
    with pytest.raises(FormatError, match=r"^guestrepair\.toml:\d+: "):
        read(text)
    assert time.process_time() - started < 5


def test_a_file_that_is_none(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.toml", tmp_path):
        with pytest.raises(UsageError, match=str(path)):
            read_policy(path, RULES)
    broken = tmp_path / NAME
    broken.write_text("[policy]\nx = 1\n")
    with pytest.raises(UsageError, match=rf"{broken}:2: \[policy\] has no key 'x'"):
        read_policy(broken, RULES)


def test_the_page_shows_a_policy_that_is_one() -> None:
    """And names every subject that a requirement may have."""
    page = (Path(__file__).parents[3] / "docs/policy.md").read_text()
    text = page.split("```toml\n")[1].split("```")[0]
    policy = parse_policy(text.encode(), "p.toml", tuple(all_rules()))
    assert len(policy.requirements) == 4
    assert [ignore.rule for ignore in policy.ignores] == ["golden/ssh-host-key"]
    assert all(f"`{subject}`" in page for subject in SUBJECTS)
