"""The declarations of the sshd rules that stop a login on a server that runs."""

from __future__ import annotations

from guestrepair.analyzers.base import Rule
from guestrepair.model import Safety, Severity

LOGIN_RULES = (
    Rule(
        name="sshd/strict-modes",
        summary="an account's keys are refused because of the owner or mode of a file or directory",
        severities=(Severity.WARNING, Severity.ERROR),
        safeties=(Safety.SAFE, Safety.MANUAL),
        what="For each account with a login shell that has an authorized_keys file (AuthorizedKeysFile"
        " with its"
        " tokens, Match blocks included): the file is no regular file, or it or a directory up to the home"
        " belongs neither to root nor to the user or is writable by others; or the user cannot read it."
        " Debian's sshd tolerates a group that is the user's alone, and so does this rule there.",
        why='sshd logs "Authentication refused: bad ownership or modes" and goes on to the next'
        " method. An error"
        " for root and for the only administrator.",
        repair="Take the write permission of group and others away; the owner is changed only where a foreign"
        " one has it.",
        example="chmod 777 /root",
        sources=("sshd_config(5), StrictModes, TOKENS", "OpenSSH misc.c, safe_path()"),
    ),
    Rule(
        name="sshd/chroot-directory",
        summary="a component of a ChrootDirectory is not root's, or others can write to it",
        severities=(Severity.ERROR,),
        safeties=(Safety.SAFE, Safety.REVIEW, Safety.MANUAL),
        what="Every directory from / down to the one that ChrootDirectory names has to exist, belong"
        " to root and"
        " be writable by nobody else.",
        why='sshd ends the session with "bad ownership or modes for chroot directory".',
        repair="Owner root, no write permission for group and others; for review where that takes a home from"
        " its user.",
        example="ChrootDirectory %h with homes that belong to their users",
        sources=("sshd_config(5), ChrootDirectory", "OpenSSH session.c, safely_chroot()"),
    ),
    Rule(
        name="sshd/helper-missing",
        summary="sshd itself, or a program that it starts for each connection, is missing",
        severities=(Severity.ERROR,),
        safeties=(Safety.SAFE, Safety.MANUAL),
        what="sshd, another program that its unit starts, sshd-session (from OpenSSH 9.8 on), sshd-auth (from"
        " 10.0 on) or the program of a Subsystem is not there, is empty or is not executable.",
        why="sshd may start, and `sshd -t` of several releases passes, but connections or file"
        " transfers end.",
        repair="Restore the packaged program, or make it executable.",
        example="rm /usr/lib/openssh/sshd-session",
        sources=("OpenSSH sshd.c, main()", "sshd_config(5), Subsystem, SshdSessionPath"),
    ),
    Rule(
        name="sshd/library-missing",
        summary="a library or PAM module that a login needs is missing",
        severities=(Severity.ERROR, Severity.WARNING),
        safeties=(Safety.SAFE, Safety.MANUAL),
        what="A library that sshd, its helpers or the PAM modules of its service need cannot be found by the"
        " rules of the dynamic loader; or /etc/pam.d/sshd, a file that it includes or a module that it"
        " names is"
        " not there. Modules that may lack (a leading -, module_unknown=ignore) are no finding.",
        why="sshd does not start, or every login fails after the password or key was right.",
        repair="Restore the packaged file.",
        example="rm /lib/x86_64-linux-gnu/security/pam_loginuid.so",
        sources=("ld.so(8)", "pam.d(5)", "Linux-PAM libpam/pam_handlers.c"),
    ),
    Rule(
        name="sshd/login-blocked",
        summary="sshd runs, and turns everybody away",
        severities=(Severity.ERROR, Severity.WARNING, Severity.NOTE),
        safeties=(Safety.REVIEW, Safety.SAFE, Safety.MANUAL),
        what="/etc/nologin is there (a note where tmpfiles.d removes it at boot); a login shell is missing or"
        " not executable; or AllowUsers, DenyUsers, the group lists, PermitRootLogin and the authentication"
        " switches together leave no account that has a key or a password any way in; or PAM cannot read a"
        " line of sshd's service, and takes it for a module that always fails.",
        why="sshd accepts the connection and refuses the login.",
        repair="Remove nologin (review); restore the shell (safe); comment PAM's line out (review); access"
        " rules are the administrator's.",
        example="AllowUsers admn",
        sources=("nologin(5)", "OpenSSH auth.c, allowed_user()", "sshd_config(5)"),
    ),
    Rule(
        name="sshd/tcp-wrappers",
        summary="hosts.deny turns everyone away from sshd",
        severities=(Severity.ERROR,),
        safeties=(Safety.REVIEW,),
        what="A line of /etc/hosts.deny (or a deny option in hosts.allow) matches sshd and every"
        " client, nothing"
        " before it allows anyone, and this sshd is really linked with libwrap.",
        why='sshd closes each connection with "refused connect from".',
        repair="Comment the line out, for review.",
        example="sshd: ALL",
        sources=("hosts_access(5)", "hosts_options(5)"),
    ),
    Rule(
        name="sshd/unit-disabled",
        summary="nothing starts sshd at boot",
        severities=(Severity.ERROR,),
        safeties=(Safety.REVIEW,),
        what="Neither the service nor its socket is enabled, or it is masked; without systemd, the"
        " init script"
        " has no start link or cannot be executed.",
        why="sshd is installed and never runs.",
        repair="Unmask and enable the service, for review: somebody may have wanted it off.",
        example="systemctl mask ssh",
        sources=("systemd.unit(5)", "systemctl(1), mask", "insserv(8)", "rc-update(8)"),
    ),
)

LOG_RULES = (
    Rule(
        name="sshd/log-evidence",
        summary="lines in the guest's logs that corroborate a finding; never reported by itself",
        severities=(Severity.NOTE,),
        what="Lines of sshd in /var/log/secure, /var/log/auth.log, their rotations (gz, xz, bz2) and"
        " the systemd"
        " journal that say what a finding says. They are attached to it as evidence, with the time of the"
        " first and the last and their number.",
        why="They tell since when it has been so, and that it really kept people out.",
        repair="None: it belongs to the finding that it corroborates.",
        sources=("syslogd(8)", "journalctl(1), --file", "OpenSSH log messages, by the rules' sources"),
    ),
)
