"""Who broke it, of servers that lived: booted, logged in to, changed, and shut down in order."""

from __future__ import annotations

from typing import Any

import pytest

from fixtures.booting import Booted, needs, scan_of_life
from fixtures.debian.server import ESP_UUID, MISSING_UUID

pytestmark = [pytest.mark.boot, pytest.mark.long]

KEEP_JOURNAL = (
    "root",
    "mkdir -p /var/log/journal && systemd-tmpfiles --create --prefix /var/log/journal; journalctl --flush",
)
BREAK_FSTAB = f"sudo sed -i s/UUID={ESP_UUID}/UUID={MISSING_UUID}/ /etc/fstab"
BAD_SSHD = "/etc/ssh/sshd_config.d/site.conf"
MAKE_PACKAGE = f"""set -e
mkdir -p site/DEBIAN site{BAD_SSHD.rpartition("/")[0]}
echo 'NoSuchKeyword yes' > site{BAD_SSHD}
printf 'Package: site-ssh\\nVersion: 1\\nArchitecture: all\\nMaintainer: a <a@example.org>\\n' \\
    > site/DEBIAN/control
echo 'Description: settings of this site' >> site/DEBIAN/control
dpkg-deb --root-owner-group --build site site.deb
"""
# The last command loses its connection, at the latest by the shutdown.
GO_DOWN = ("root", "sync; sleep 8; systemctl poweroff")
CLEAN = "journalctl --vacuum-time=1s"
# Archived journals go once they are a second old; what follows is logged again, and names nobody.
FORGET = f"""sleep 8; journalctl --sync; journalctl --rotate; {CLEAN}; sleep 2; {CLEAN}
rm -f /var/log/wtmp /var/log/lastlog /var/log/auth.log*"""


def cause_of(booted: Booted, path: str) -> dict[str, Any]:
    """The cause of the first error about a path."""
    assert booted.status == 1, booted.stderr
    (image,) = booted.report["images"]
    errors = [f for f in image["findings"] if f["severity"] == "error" and path in str(f["subject"])]
    assert errors, image["findings"]
    cause: dict[str, Any] = errors[0]["cause"]
    return cause


@needs(
    scan_of_life(
        KEEP_JOURNAL,
        ("admin", BREAK_FSTAB),
        ("admin", MAKE_PACKAGE),
        ("admin", "sudo dpkg -i site.deb"),
        GO_DOWN,
    )
)
def test_whoever_changed_fstab_by_sudo_is_named_and_so_is_a_package_that_broke_sshd(booted: Booted) -> None:
    assert [answer.status for answer in booted.answers.values()][:4] == [0, 0, 0, 0], booted.answers
    cause = cause_of(booted, "/etc/fstab")
    first = cause["suspects"][0]
    assert (first["rule"], first["confidence"], first["who"]) == ("command-names-path", "strong", "admin")
    assert "sed -i" in first["what"]
    # auth.log knows it to the microsecond, too; of two such records, the journal's is shown.
    assert first["source"].startswith("/var/log/journal/")
    assert {suspect["who"] for suspect in cause["suspects"]} == {"admin"}
    assert cause["last_good_boot"] is not None
    assert cause["last_good_boot"] < first["when"]
    cause = cause_of(booted, BAD_SSHD)
    first = cause["suspects"][0]
    assert (first["rule"], first["confidence"]) == ("package-of-the-path", "strong")
    assert first["what"] == "install site-ssh 1"
    assert first["source"].startswith("/var/log/dpkg.log:")
    asked = cause["suspects"][1]
    assert (asked["rule"], asked["confidence"], asked["who"]) == ("package-command", "likely", "admin")


@needs(scan_of_life(("root", BREAK_FSTAB), ("root", FORGET), GO_DOWN))
def test_without_its_logs_nobody_is_named(booted: Booted) -> None:
    cause = cause_of(booted, "/etc/fstab")
    assert cause["changed"]
    assert cause["suspects"] == []
