"""The rules of this analyzer, declared once: name, severities, what, why, repair, sources."""

from __future__ import annotations

from guestrepair.analyzers.base import Rule
from guestrepair.model import Safety, Severity

_ERROR, _WARNING, _NOTE = Severity.ERROR, Severity.WARNING, Severity.NOTE
_SAFE, _REVIEW, _MANUAL = Safety.SAFE, Safety.REVIEW, Safety.MANUAL

_RESTORE = (
    "Restored from the first source that has the package in exactly this version and architecture, and "
    "whose file has the digest that the guest's own database records: the guest's package cache, "
    "--packages DIR, --donor IMAGE|DIR, --fetch. Mode, owner, times, capabilities and SELinux label come "
    "back with it. A source that does not fit is refused, and the plan says why."
)

RULES = (
    Rule(
        name="packages/usrmerge-link",
        summary="a link of the merged /usr (/bin, /sbin, /lib, /lib64) is missing or wrong",
        severities=(_ERROR,),
        safeties=(_SAFE, _MANUAL),
        what="One of the links in / that a merged /usr needs is gone, or leads somewhere else, while the "
        "directory in /usr is there. All packaged files are then judged as if the link were in place.",
        why="Every program names its loader as /lib64/ld-linux-x86-64.so.2 or its like, and every script "
        "its shell as /bin/sh: without the link the kernel finds no init and panics.",
        repair="The relative link is made again, before anything else is repaired. A directory in its "
        "place may hold files that somebody put there, so that is left to a person.",
        example="rm /lib64",
        sources=("file-hierarchy(7), Compatibility symlinks",),
    ),
    Rule(
        name="packages/file-missing",
        summary="a file that the package database lists is not there",
        severities=(_ERROR, _WARNING, _NOTE),
        safeties=(_SAFE, _REVIEW),
        what="A path that an installed package owns is not there. An error for programs, libraries and "
        "what boot needs, a warning elsewhere, a note for documentation, translations and caches. "
        "Excluded paths (path-exclude, tsflags=nodocs), diverted and %ghost files are not missing. A "
        "directory that is gone stands for all that was in it.",
        why="Programs that need the file fail, some of them only at the next boot or login.",
        repair=_RESTORE + " Configuration files only after review: the administrator may have deleted them.",
        example="rm /usr/bin/login",
        sources=("dpkg(1), --verify", "rpm: lib/verify.c", "deb-md5sums(5)"),
    ),
    Rule(
        name="packages/file-empty",
        summary="a packaged file has no content although it should",
        severities=(_ERROR, _WARNING, _NOTE),
        safeties=(_SAFE, _REVIEW),
        what="A regular file of 0 bytes, where the database records another size or digest: what a crash "
        "or a full disk in the middle of an upgrade leaves behind.",
        why="An empty library or program cannot be loaded; everything linked with it fails.",
        repair=_RESTORE,
        example=": > /usr/lib/x86_64-linux-gnu/libsystemd.so.0.35.0",
        sources=("dpkg(1), --verify", "rpm: lib/verify.c"),
    ),
    Rule(
        name="packages/file-changed",
        summary="a packaged file is not what the package shipped",
        severities=(_ERROR, _WARNING, _NOTE),
        safeties=(_REVIEW, _SAFE, _MANUAL),
        what="The digest of a packaged file differs from the database's, a link leads elsewhere, or "
        "something else lies in its place. Configuration files may differ. How many files are hashed is "
        "chosen with --digests: none, critical (programs and libraries of the packages that boot and "
        "login need), all.",
        why="A damaged or replaced program may crash, or do what an intruder wants.",
        repair=_RESTORE + " Only after review, since somebody may have changed it on purpose; without, where "
        "the content itself shows damage: an ELF file that ends before the data that its headers name, a "
        "program that begins with nothing but NUL bytes.",
        example="printf x >> /usr/sbin/sshd",
        sources=("deb-md5sums(5)", "rpm: lib/verify.c"),
    ),
    Rule(
        name="packages/wrong-mode",
        summary="a packaged path has another mode than the package gave it",
        severities=(_ERROR, _WARNING, _NOTE),
        safeties=(_SAFE, _REVIEW),
        what="Permission bits, setuid and setgid bits or file capabilities differ from the rpm header. "
        "dpkg records no modes: there the known setuid programs and the stat overrides decide, and in a "
        "repair the donor of the same version, or the .deb for what was lost since it was unpacked; "
        "without either, packaged paths that everybody may write are found.",
        why="sudo, su and passwd without setuid let nobody become root; a library that everybody may "
        "write lets everybody.",
        repair="The packaged mode is set again. Where one chmod hit very many paths, one finding and one "
        "repair stand for all of them, and for what else it hit that the donor has, too. Configuration "
        "with a stricter mode than the package's is left for review.",
        example="chmod 755 /usr/bin/sudo",
        sources=("rpm: lib/verify.c", "Debian Policy 10.9", "dpkg-statoverride(1)"),
    ),
    Rule(
        name="packages/wrong-owner",
        summary="a packaged path belongs to another user or group than the package gave it",
        severities=(_ERROR, _WARNING, _NOTE),
        safeties=(_SAFE, _REVIEW),
        what="Owner or group differ, compared by name as rpm does. For dpkg: from the stat overrides, "
        "the .deb or the donor; without one, packaged programs and libraries must belong to root.",
        why="sshd, sudo and systemd refuse files that do not belong to root, and whoever owns a program "
        "can replace it.",
        repair="The packaged owner is set again, with the packaged mode, since chown clears setuid bits.",
        example="chown -R 1000:1000 /usr",
        sources=("rpm: lib/verify.c", "Debian Policy 10.9", "dpkg-statoverride(1)"),
    ),
    Rule(
        name="packages/library-unresolved",
        summary="a program that boot or login needs cannot find its loader or a library",
        severities=(_ERROR, _WARNING),
        safeties=(_SAFE, _MANUAL),
        what="Worked out from the ELF headers, nothing is run: the interpreter and every NEEDED library "
        "of init, the accounts' shells, mount, udev, getty, login, sshd, sudo and the PAM modules are "
        "looked for as ld.so does (RPATH, RUNPATH, $ORIGIN, ld.so.conf, hardware directories, 32 and 64 "
        "bit apart), and what they need in turn. Also /etc/ld.so.preload naming what is not there.",
        why="The program ends before its first instruction: no boot, or no login.",
        repair="The package that owns the library is restored; a missing link that ldconfig makes is "
        "made from the library's SONAME.",
        example="rm /usr/lib/x86_64-linux-gnu/libpam.so.0*",
        sources=("ld.so(8)", "ldconfig(8)", "ELF gABI, Dynamic Linking"),
    ),
    Rule(
        name="packages/link-dangling",
        summary="a packaged symbolic link, or one of the alternatives, leads nowhere",
        severities=(_WARNING, _NOTE),
        safeties=(_SAFE, _MANUAL),
        what="The target of a packaged link, or of a link that update-alternatives keeps, is not in the "
        "guest. Where the target is a packaged file, its own finding stands for it.",
        why="The command or library of that name is gone, although its package is installed.",
        repair="The target is restored, or the link of the alternatives, and what follows it (nawk follows "
        "awk), is made again from their own database.",
        example="rm /etc/alternatives/awk",
        sources=("update-alternatives(1)", "ldconfig(8)"),
    ),
    Rule(
        name="packages/database-damaged",
        summary="the package database is missing, truncated or unreadable",
        severities=(_ERROR,),
        safeties=(_MANUAL,),
        what="The database itself, or a part of it, cannot be read or is cut off: dpkg's status or a "
        "file list, rpm's Packages or rpmdb.sqlite, apk's installed, a directory of pacman's.",
        why="No package can be installed, upgraded or verified, and nobody can say which files should be "
        "there.",
        repair="Left to a person: the message names the backups that are there (status-old, "
        "/var/backups), or the command that rebuilds the database.",
        sources=("dpkg(1), FILES", "rpmdb(8)"),
    ),
)
