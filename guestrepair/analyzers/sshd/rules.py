"""The declarations of the sshd rules that stop the server itself; ``explain`` and the reports read them."""

from __future__ import annotations

from guestrepair.analyzers.base import Rule
from guestrepair.model import Safety, Severity

SERVER_RULES = (
    Rule(
        name="sshd/privsep-dir-missing",
        summary="sshd's privilege separation directory is not there",
        severities=(Severity.ERROR,),
        safeties=(Safety.SAFE,),
        what="The empty directory that sshd confines its unauthenticated part to is not there, or is no"
        " directory. Which one that is, is read from the guest's own sshd binary; one under /run has to be"
        " made at boot by sshd's unit, tmpfiles.d or the init script; it is reported when none does.",
        why='sshd checks it before it listens and exits with "Missing privilege separation directory":'
        " nobody can log in.",
        repair="Make the directory, root:root, with the mode that its package gives it; for one under /run,"
        " a line in /etc/tmpfiles.d.",
        example="rmdir /var/empty/sshd on CentOS 7",
        sources=("sshd(8), FILES", "OpenSSH sshd.c, main()", "systemd.exec(5), RuntimeDirectory="),
    ),
    Rule(
        name="sshd/privsep-dir-unsafe",
        summary="sshd's privilege separation directory has the wrong owner or is writable by others",
        severities=(Severity.ERROR,),
        safeties=(Safety.SAFE, Safety.MANUAL),
        what="The privilege separation directory is not owned by root, or group or others may write to it; or"
        " what makes it in /run at boot (RuntimeDirectoryMode= of sshd's unit, a tmpfiles.d line) has it so.",
        why='sshd exits with "must be owned by root and not group or world-writable": nobody can log in.',
        repair="root:root and the mode of the package database; where that has none (dpkg), the mode that the"
        " distribution's package is known to give.",
        example="chmod 777 /var/empty/sshd",
        sources=("OpenSSH sshd.c, main()",),
    ),
    Rule(
        name="sshd/privsep-user-missing",
        summary="the user sshd is not in /etc/passwd",
        severities=(Severity.ERROR,),
        safeties=(Safety.SAFE, Safety.MANUAL),
        what="sshd runs its unauthenticated part as the user sshd, and /etc/passwd has no line for it"
        " that can be read.",
        why='sshd exits with "Privilege separation user sshd does not exist": nobody can log in.',
        repair="Add the account as sysusers.d has it, else as /etc/passwd- or /var/backups/passwd.bak had it,"
        " else as the distribution's package makes it, with its group and a locked line in /etc/shadow.",
        example="a line of /etc/passwd lost in an edit",
        sources=("OpenSSH sshd.c, main()", "sysusers.d(5)", "passwd(5)"),
    ),
    Rule(
        name="sshd/host-key-unsafe",
        summary="a private host key can be read by others, or does not belong to root",
        severities=(Severity.ERROR, Severity.WARNING),
        safeties=(Safety.SAFE,),
        what="A private host key of root's has permissions for group or others, or belongs to another user."
        " 0640 root:ssh_keys is right where that group exists and OpenSSH is older than 9.",
        why='sshd ignores such a key ("UNPROTECTED PRIVATE KEY FILE!"); with no other left it exits with'
        ' "no hostkeys available". An error then, a warning while another key is usable.',
        repair="root:root 0600 (root:ssh_keys 0640 where that is the distribution's).",
        example="chmod 666 /etc/ssh/ssh_host_*_key",
        sources=("OpenSSH authfile.c, sshkey_perm_ok()", "sshd(8), FILES"),
    ),
    Rule(
        name="sshd/host-key-missing",
        summary="no host key is there and nothing makes one at boot",
        severities=(Severity.ERROR, Severity.NOTE),
        safeties=(Safety.REVIEW,),
        what="None of the host keys that sshd_config (or the release's defaults) names is there, and no"
        " sshd-keygen unit, init script or cloud-init makes them at the next boot. A note where only some of"
        " those named are missing.",
        why='sshd exits with "no hostkeys available": nobody can log in.',
        repair="Generate new keys. Review: every client that knows this machine will be warned of a"
        " changed key.",
        example="an image prepared as a template whose first-boot service was removed",
        sources=("OpenSSH sshd.c, main()", "ssh-keygen(1), -A", "cloud-init, cc_ssh"),
    ),
    Rule(
        name="sshd/host-key-corrupt",
        summary="a host key is empty, cut short, or does not match its public half",
        severities=(Severity.ERROR, Severity.WARNING),
        safeties=(Safety.REVIEW, Safety.SAFE),
        what="A private host key cannot be loaded: empty, cut short, damaged, protected by a passphrase; or"
        " the .pub file beside it is damaged or belongs to another key.",
        why='sshd logs "Unable to load host key" and does without it, or exits when none is left.',
        repair="Generate the key anew (review). A wrong .pub file alone is written anew from the private key,"
        " which stays (safe).",
        example="a host key of 0 bytes after a full disk",
        sources=("OpenSSH sshkey.c, sshkey_parse_private2()", "OpenSSH PROTOCOL.key"),
    ),
)

CONFIG_RULES = (
    Rule(
        name="sshd/config-missing",
        summary="sshd's configuration file is not there",
        severities=(Severity.ERROR,),
        safeties=(Safety.SAFE, Safety.MANUAL),
        what="The file that sshd is started with (/etc/ssh/sshd_config unless its unit says -f) is not"
        " there.",
        why="sshd exits at once: nobody can log in.",
        repair="The copy that the package left in the guest (Debian: /usr/share/openssh/sshd_config),"
        " else the"
        " packaged file from a source that matches.",
        example="rm /etc/ssh/sshd_config",
        sources=("sshd(8), -f", "OpenSSH servconf.c, load_server_config()"),
    ),
    Rule(
        name="sshd/config-syntax",
        summary="a line of sshd_config that the guest's sshd refuses",
        severities=(Severity.ERROR,),
        safeties=(Safety.SAFE, Safety.REVIEW),
        what="An unknown keyword, a missing or bad argument, a quote that does not close, a keyword"
        " that a Match"
        " block may not hold, an Include that cannot be followed, or settings that exclude each other, in the"
        " files that sshd really reads. Judged by the keyword table and the quoting rules of the guest's own"
        " OpenSSH release.",
        why="sshd exits with the file and line: nobody can log in.",
        repair="Comment out that line and nothing else; for a bad Match line its block. For review"
        " where the line"
        " narrows access (AllowUsers, ChrootDirectory, Match…).",
        example="PermitRootLogn yes",
        sources=("sshd_config(5)", "OpenSSH servconf.c, readconf and misc.c of the release at hand"),
    ),
    Rule(
        name="sshd/config-deprecated",
        summary="a keyword that the guest's sshd ignores",
        severities=(Severity.NOTE,),
        what="A keyword that this release accepts and does nothing with (Protocol, UsePrivilegeSeparation…).",
        why="What the line asks for does not happen; sshd starts all the same.",
        repair="None: it does no harm.",
        example="RSAAuthentication yes",
        sources=("OpenSSH servconf.c, keywords[]",),
    ),
)
