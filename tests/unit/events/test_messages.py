"""Lines of logs as Debian 12, Rocky 9, CentOS 7 and Alpine write them, and what each means."""

from __future__ import annotations

import time

import pytest

from guestrepair.events.messages import meaning
from guestrepair.events.model import Kind

KEY = "SHA256:u7bE1kDS7ZJ8wF4kVtvBfQ5k2mQm6m1U0wY5yX5lLr8"
PAM = "pam_unix(sshd:session): "
LINES = [
    ("sshd", f"Accepted publickey for alice from 10.0.4.7 port 5 ssh2: ED25519 {KEY}", Kind.LOGIN, "alice",
     {"action": "login", "from": "10.0.4.7", "key": KEY, "method": "publickey"}),
    ("sshd-session", "Accepted password for bob from fe80::1%eth0 port 5 ssh2", Kind.LOGIN, "bob",
     {"action": "login", "from": "fe80::1%eth0", "method": "password"}),
    ("sshd", PAM + "session opened for user alice(uid=1000) by (uid=0)", Kind.LOGIN, "alice",
     {"action": "login"}),
    ("sshd", PAM + "session closed for user alice", Kind.LOGIN, "alice", {"action": "logout"}),
    ("sshd", "Failed password for invalid user admin from 203.0.113.9 port 4000 ssh2", Kind.LOGIN, None,
     {"action": "failed", "user": "admin", "invalid_user": "yes"}),
    ("sshd", "Failed password for root from 203.0.113.9 port 4000 ssh2", Kind.LOGIN, None,
     {"action": "failed", "user": "root", "invalid_user": ""}),
    ("sshd", "Invalid user a from b from 203.0.113.9 port 4000", Kind.LOGIN, None, {"from": "203.0.113.9"}),
    ("sshd", "User eve from 1.2.3.4 not allowed because not listed in AllowUsers", Kind.LOGIN, None,
     {"action": "failed", "user": "eve"}),
    ("sshd", "Disconnected from user alice 10.0.4.7 port 51512", Kind.LOGIN, "alice",
     {"action": "logout"}),
    ("sshd", "Connection closed by authenticating user root 10.0.4.7 port 51 [preauth]", Kind.LOGIN, None,
     {"action": "failed", "user": "root"}),
    ("sshd", "Server listening on 0.0.0.0 port 22.", Kind.SERVICE, None, {"action": "started", "port": "22"}),
    ("login", "pam_unix(login:session): session opened for user root(uid=0) by LOGIN(uid=0)", Kind.LOGIN,
     "root", {"action": "login", "service": "login"}),
    ("login", "FAILED LOGIN (1) on '/dev/tty1' FOR 'root', Authentication failure", Kind.LOGIN, None,
     {"action": "failed", "user": "root", "line": "/dev/tty1"}),
    ("login", "ROOT LOGIN  on '/dev/tty1'", Kind.LOGIN, "root", {"action": "opened", "line": "/dev/tty1"}),
    ("sshd", "pam_unix(sshd:auth): authentication failure; ruser= rhost=203.0.113.9  user=root",
     Kind.LOGIN, None, {"action": "failed", "user": "root"}),
    ("sudo", "   alice : TTY=pts/0 ; PWD=/home/alice ; USER=root ; COMMAND=/usr/bin/vim /etc/fstab",
     Kind.COMMAND, "alice", {"record": "sudo", "pwd": "/home/alice", "user": "root", "tty": "pts/0"}),
    ("sudo", "alice : PWD=/etc ; USER=www-data ; COMMAND=/bin/sh -c 'echo a ; COMMAND=x'", Kind.COMMAND,
     "alice", {"pwd": "/etc", "user": "www-data"}),
    ("sudo", "bob : user NOT in sudoers ; TTY=pts/1 ; PWD=/ ; USER=root ; COMMAND=/bin/rm -rf /etc",
     Kind.LOGIN, "bob", {"action": "failed", "command": "/bin/rm -rf /etc"}),
    ("sudo", "pam_unix(sudo:session): session opened for user root(uid=0) by alice(uid=1000)", Kind.LOG,
     "alice", {"action": "opened", "user": "root"}),
    ("su", "(to root) alice on pts/0", Kind.LOGIN, "alice", {"action": "su", "user": "root"}),
    ("su", "FAILED SU (to root) bob on pts/0", Kind.LOGIN, "bob", {"action": "failed"}),
    ("su", "Successful su for root by alice", Kind.LOGIN, "alice", {"action": "su"}),
    ("su", "- /dev/pts/0 bob:root", Kind.LOGIN, "bob", {"action": "failed", "user": "root"}),
    ("useradd", "new user: name=carol, UID=1001, GID=1001, home=/home/carol, shell=/bin/bash, from=none",
     Kind.ACCOUNT, None, {"action": "added", "user": "carol"}),
    ("useradd", "new group: name=carol, GID=1001", Kind.ACCOUNT, None, {"action": "group-added"}),
    ("groupadd", "group added to /etc/group: name=carol, GID=1001", Kind.ACCOUNT, None,
     {"action": "group-added", "user": "carol"}),
    ("usermod", "add 'carol' to group 'sudo'", Kind.ACCOUNT, None,
     {"action": "member-added", "user": "carol", "group": "sudo"}),
    ("usermod", "change user 'carol' shell from '/bin/sh' to '/bin/bash'", Kind.ACCOUNT, None,
     {"action": "changed", "user": "carol"}),
    ("usermod", "lock user 'carol' password", Kind.ACCOUNT, None, {"action": "locked"}),
    ("usermod", "unlock user 'carol' password", Kind.ACCOUNT, None, {"action": "unlocked"}),
    ("userdel", "delete user 'carol'", Kind.ACCOUNT, None, {"action": "removed", "user": "carol"}),
    ("userdel", "removed group 'carol' owned by 'carol'", Kind.ACCOUNT, None, {"action": "group-removed"}),
    ("passwd", "pam_unix(passwd:chauthtok): password changed for carol", Kind.ACCOUNT, None,
     {"action": "password", "user": "carol"}),
    ("passwd", "password for 'carol' changed by 'root'", Kind.ACCOUNT, "root", {"user": "carol"}),
    ("chage", "changed password expiry for carol", Kind.ACCOUNT, None,
     {"action": "changed", "user": "carol"}),
    ("gpasswd", "user carol added by root to group wheel", Kind.ACCOUNT, "root",
     {"action": "member-added", "group": "wheel"}),
    ("systemd-logind", "New session 3 of user alice.", Kind.LOGIN, "alice",
     {"action": "login", "session": "3"}),
    ("systemd-logind", "New session '3' of user 'alice' with class 'user' and type 'tty'.", Kind.LOGIN,
     "alice", {"session": "3", "class": "user"}),
    ("systemd-logind", "Removed session 3.", Kind.LOGIN, None, {"action": "logout", "session": "3"}),
    ("systemd-logind", "System is rebooting.", Kind.BOOT, None, {"action": "shutdown"}),
    ("systemd", "Started ssh.service - OpenBSD Secure Shell server.", Kind.SERVICE, None,
     {"action": "started", "unit": "ssh.service"}),
    ("systemd", "Started OpenBSD Secure Shell server.", Kind.SERVICE, None,
     {"action": "started", "unit": "OpenBSD Secure Shell server"}),
    ("systemd", "nginx.service: Failed with result 'exit-code'.", Kind.SERVICE, None,
     {"action": "failed", "unit": "nginx.service"}),
    ("systemd", "Dependency failed for data.mount - /data.", Kind.SERVICE, None,
     {"action": "failed", "unit": "data.mount"}),
    ("systemd", "Reached target multi-user.target - Multi-User System.", Kind.SERVICE, None,
     {"action": "reached", "unit": "multi-user.target"}),
    ("systemd", "Startup finished in 1.2s (kernel) + 3s (userspace) = 4.2s.", Kind.SERVICE, None,
     {"action": "startup-finished"}),
    ("kernel", "[    0.000000] Linux version 6.1.0-18-amd64 (debian-kernel@lists) #1 SMP", Kind.BOOT, None,
     {"action": "boot", "kernel": "6.1.0-18-amd64"}),
    ("CRON", "(root) CMD (   cd / && run-parts --report /etc/cron.hourly)", Kind.COMMAND, "root",
     {"record": "cron"}),
    ("CROND", "(alice) CMD (/home/alice/x)", Kind.COMMAND, "alice", {"record": "cron"}),
    ("crontab", "(alice) REPLACE (alice)", Kind.CONFIGURATION, "alice", {"action": "replace"}),
    ("cloud-init", "Cloud-init v. 22.4.2 running 'init-local' at Sun, 29 Nov 2026", Kind.CONFIGURATION, None,
     {"action": "running", "version": "22.4.2", "stage": "init-local"}),
    ("kernel", "[ 9999.123456] reboot: Power down", Kind.BOOT, None, {"action": "shutdown"}),
    ("systemd", "x.service: Failed with result 'exit-code'.", Kind.SERVICE, None,
     {"action": "failed", "unit": "x.service"}),
    ("systemd", "Reached target System Power Off.", Kind.BOOT, None, {"action": "shutdown"}),
    ("sshd", "Received signal 15; terminating.", Kind.SERVICE, None, {"action": "stopped"}),
    ("systemd-logind", "New session c1 of user gdm with class 'greeter' and type 'x11'.", Kind.LOGIN, "gdm",
     {"action": "opened", "class": "greeter"}),
    ("systemd-logind", "New session '7' of user 'root' with class 'background' and type 'unspecified'.",
     Kind.LOGIN, "root", {"action": "opened"}),
]  # fmt: skip


@pytest.mark.parametrize(("program", "text", "kind", "actor", "detail"), LINES)
def test_what_a_line_means(
    program: str, text: str, kind: Kind, actor: str | None, detail: dict[str, str]
) -> None:
    found = meaning(program, "", text)
    assert found is not None
    assert (found.kind, found.actor) == (kind, actor)
    have = dict(found.details)
    assert {name: have.get(name, "") for name in detail} == detail


def test_a_command_is_all_that_follows() -> None:
    found = meaning(
        "sudo", "", "alice : PWD=/etc ; USER=root ; COMMAND=/bin/sh -c 'a ; COMMAND=x ; USER=eve'"
    )
    assert found is not None
    assert found.message == "/bin/sh -c 'a ; COMMAND=x ; USER=eve'"


@pytest.mark.parametrize(
    ("program", "text"),
    [("nginx", "Accepted password for root from 1.2.3.4 port 5 ssh2"), ("sshd", ""), ("", ""),
     ("sshd", "error: kex_exchange_identification"), ("[", "]"),
     ("sudo", "pam_unix(sudo:auth): conversation ok"), ("cron", "(CRON) INFO (Running @reboot jobs)")],
)  # fmt: skip
def test_a_line_that_means_nothing_more(program: str, text: str) -> None:
    assert meaning(program, "", text) is None


@pytest.mark.parametrize("program", ["sshd", "sudo", "su", "login", "useradd", "systemd", "systemd-logind",
                                     "kernel", "cron", "cloud-init"])  # fmt: skip
@pytest.mark.parametrize("piece", ["a", " ", "'", "(to ", " from ", " ; ", "COMMAND=", "user=a ", "\x1b[2J"])
def test_long_lines_take_no_time(program: str, piece: str) -> None:
    begin = time.process_time()
    for start in ("", "Accepted a for ", "Failed a for ", "a : ", "add '", "(a) CMD (", "Writing to /",
                  "pam_unix(sshd:auth): authentication failure; "):  # fmt: skip
        meaning(program, "", start + piece * 20_000)
    assert time.process_time() - begin < 0.5
