"""What a guest's sshd is told, what it needs, and who makes that: on three distributions, and damaged."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from guestrepair.errors import GuestReadError
from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import GuestPath as P
from guestrepair.system.fact import Unreadable
from guestrepair.system.guest_system import System
from guestrepair.system.sshd.host_keys import PublicHalf
from guestrepair.system.sshd.programs import Role
from guestrepair.system.sshd.sshd import Sshd
from tests.unit.analyzers.sshd_guest import PASSWD, centos7, debian, key_pair, rocky9

CONFIG = "/etc/ssh/sshd_config"
UNIT = "/usr/lib/systemd/system/ssh.service"
DROP_IN = "/etc/systemd/system/ssh.service.d/x.conf"


def sshd(guest: MemoryGuest) -> Sshd:
    found = System(guest).sshd
    assert found is not None
    return found


def test_a_guest_without_sshd_has_no_facts_about_it() -> None:
    assert System(MemoryGuest()).sshd is None


# --- configuration --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, CONFIG),
        ({DROP_IN: "[Service]\nExecStart=\nExecStart=/usr/sbin/sshd -D -f /etc/own\n"}, "/etc/own"),
        ({DROP_IN: "[Service]\nExecStart=\nExecStart=/usr/sbin/sshd -f relative\n"}, CONFIG),
        ({DROP_IN: "[Service]\nEnvironmentFile=-/etc/default/ssh\n",
          "/etc/default/ssh": "# -f /etc/no\nSSHD_OPTS='-f /etc/b'\n"}, "/etc/b"),
        ({CONFIG: None, "/usr/etc/ssh/sshd_config": ""}, "/usr/etc/ssh/sshd_config"),
        ({CONFIG: None}, CONFIG),
    ],
)  # fmt: skip
def test_the_file_that_it_is_started_with(files: dict[str, str | None], expected: str) -> None:
    guest = debian()
    for path, text in files.items():
        if text is None:
            guest.remove(path)
        else:
            guest.file(path, text)
    assert sshd(guest).config_path == P(expected)


def test_includes_are_read_and_the_first_value_counts() -> None:
    guest = debian()
    guest.file(CONFIG, "Include /etc/ssh/sshd_config.d/*.conf\nPermitRootLogin no\nUsePAM yes\n")
    guest.file("/etc/ssh/sshd_config.d/b.conf", "PermitRootLogin yes\n")
    guest.file("/etc/ssh/sshd_config.d/a.conf", "PermitRootLogin without-password\n")
    guest.file("/etc/ssh/sshd_config.d/.hidden.conf", "PermitRootLogin no\n")
    found = sshd(guest)
    assert found.settings.text("permitrootlogin") == "without-password"
    assert not found.config.problems


@pytest.mark.parametrize("path", [CONFIG, "/etc/ssh/sshd_config.d/a.conf"])
def test_a_configuration_of_which_a_file_cannot_be_read_is_unreadable(path: str) -> None:
    guest = debian()
    guest.file(CONFIG, "Include /etc/ssh/sshd_config.d/*.conf\n")
    guest.file("/etc/ssh/sshd_config.d/a.conf", "")
    guest.nodes[P(path)].unreadable = "input/output error"
    with pytest.raises(GuestReadError, match=path):
        _ = sshd(guest).settings


def test_templates_are_given_with_those_that_cannot_be_read() -> None:
    guest = debian()
    assert sshd(guest).config_templates == ()
    guest.file("/usr/share/openssh/sshd_config", "a").unreadable = "input/output error"
    guest.file("/usr/etc/ssh/sshd_config", "b")
    (_, lost), (path, data) = sshd(guest).config_templates
    assert isinstance(lost, Unreadable)
    assert (path, data) == (P("/usr/etc/ssh/sshd_config"), b"b")


# --- units ----------------------------------------------------------------------------


def test_a_masked_service_is_in_force_as_it_will_be_unmasked() -> None:
    guest = debian()
    guest.remove("/etc/systemd/system/sshd.service")
    guest.link("/etc/systemd/system/ssh.service", "/dev/null")
    guest.file(DROP_IN, "[Service]\nRuntimeDirectoryMode=0711\n")
    found = sshd(guest)
    assert [unit.masked for unit in found.services] == [True]
    (unit,) = found.services_in_force
    assert unit.unit.last("Service", "RuntimeDirectoryMode") == "0711"


@pytest.mark.parametrize("path", [UNIT, DROP_IN])
def test_a_unit_of_which_a_part_cannot_be_read_is_unreadable(path: str) -> None:
    guest = debian()
    guest.file(DROP_IN, "[Service]\n")
    guest.nodes[P(path)].unreadable = "input/output error"
    with pytest.raises(GuestReadError, match=path):
        _ = sshd(guest).services


# --- privilege separation -------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "path", "mode"),
    [
        (debian, "/run/sshd", 0o755),
        (centos7, "/var/empty/sshd", 0o711),
        (rocky9, "/usr/share/empty.sshd", 0o711),
    ],
)
def test_the_directory_is_read_from_the_binary(make: Callable[[], MemoryGuest], path: str, mode: int) -> None:
    directory = sshd(make()).privsep_directory
    assert (directory.path, directory.mode, directory.source) == (P(path), mode, "strings of /usr/sbin/sshd")


def test_of_a_silent_binary_the_table_tells_and_of_an_unreadable_one_nothing() -> None:
    guest = debian()
    guest.nodes[P("/usr/sbin/sshd")].content = b"\x7fELF"
    assert sshd(guest).privsep_directory.source == "debian 12"
    guest.nodes[P("/usr/sbin/sshd")].size_bytes = 1 << 40
    with pytest.raises(GuestReadError, match="/usr/sbin/sshd"):
        _ = sshd(guest).privsep_directory


NOTHING = "[Service]\nRuntimeDirectory=\n"
TMPFILES = "/etc/tmpfiles.d/a.conf"


@pytest.mark.parametrize(
    ("files", "maker", "safe"),
    [
        ({}, UNIT, True),
        ({DROP_IN: "[Service]\nRuntimeDirectoryMode=0775\n"}, UNIT, False),
        ({DROP_IN: "[Service]\nRuntimeDirectoryMode=rwx\n"}, UNIT, True),
        ({DROP_IN: NOTHING}, "", True),
        ({DROP_IN: NOTHING + "ExecStartPre=/bin/mkdir -p /run/sshd\n"}, UNIT, True),
        ({DROP_IN: NOTHING, TMPFILES: "d /run/sshd 0755 root root -\n"}, TMPFILES, True),
        ({DROP_IN: NOTHING, TMPFILES: "d /run/sshd 0777\n"}, TMPFILES, False),
        ({DROP_IN: NOTHING, TMPFILES: "d /run/sshd 0755 sshd\n"}, TMPFILES, False),
        ({DROP_IN: NOTHING, TMPFILES: "e /run/sshd 0755\n"}, "", True),
        ({DROP_IN: NOTHING, "/etc/init.d/ssh": "mkdir /run/sshd\n"}, "", True),
    ],
)  # fmt: skip
def test_who_makes_the_directory_at_boot(files: dict[str, str], maker: str, safe: bool) -> None:
    guest = debian()
    for path, text in files.items():
        guest.file(path, text)
    found = sshd(guest).privsep_maker
    assert (str(found.file) if found is not None else "") == maker
    assert found is None or found.is_safe is safe


def test_without_units_the_init_script_makes_it() -> None:
    guest = debian()
    for path in (UNIT, "/etc/systemd/system/sshd.service"):
        guest.remove(path)
    assert sshd(guest).privsep_maker is None
    script = guest.file("/etc/init.d/ssh", "mkdir -p /run/sshd\n")
    found = sshd(guest).privsep_maker
    assert found is not None
    assert found.file == P("/etc/init.d/ssh")
    script.unreadable = "input/output error"
    with pytest.raises(GuestReadError, match=r"/etc/init\.d/ssh"):
        _ = sshd(guest).privsep_maker


@pytest.mark.parametrize(
    ("files", "source", "uid"),
    [
        ({}, "openssh-server's postinst", None),
        ({"/usr/lib/sysusers.d/a.conf": "g sshd 7\nu sshd 74\n"}, "/usr/lib/sysusers.d/a.conf:2", 74),
        ({"/etc/passwd-": PASSWD}, "/etc/passwd-", 105),
        ({"/var/backups/passwd.bak": PASSWD}, "/var/backups/passwd.bak", 105),
        ({"/etc/passwd-": "root:x:0:0:::\n"}, "openssh-server's postinst", None),
    ],
)
def test_the_user_is_defined_by_the_guests_own_word_first(
    files: dict[str, str], source: str, uid: int | None
) -> None:
    guest = debian()
    for path, text in files.items():
        guest.file(path, text)
    user = sshd(guest).user
    assert (user.source, user.uid, user.shell) == (source, uid, "/usr/sbin/nologin")


def test_an_older_passwd_that_cannot_be_read_is_passed_over_and_sysusers_is_not() -> None:
    guest = debian()
    guest.file("/etc/passwd-", PASSWD).unreadable = "input/output error"
    assert sshd(guest).user.source == "openssh-server's postinst"
    guest.file("/usr/lib/sysusers.d/a.conf", "u sshd\n").unreadable = "input/output error"
    with pytest.raises(GuestReadError, match=r"sysusers\.d"):
        _ = sshd(guest).user


# --- host keys ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("release", "kinds"),
    [
        (b"5.3", ["rsa", "dsa"]),
        (b"5.9", ["rsa", "dsa", "ecdsa"]),
        (b"7.4", ["rsa", "dsa", "ecdsa", "ed25519"]),
        (b"9.2", ["rsa", "ecdsa", "ed25519"]),
    ],
)
def test_the_keys_that_a_release_tries(release: bytes, kinds: list[str]) -> None:
    guest = debian()
    guest.file("/usr/sbin/sshd", b"\0OpenSSH_" + release + b"p1\0")
    keys = sshd(guest).host_key_files
    assert [key.path.name for key in keys] == [f"ssh_host_{kind}_key" for kind in kinds]
    assert {key.place for key in keys} == {""}


def test_the_keys_that_the_configuration_names_each_once() -> None:
    guest = debian()
    guest.file(CONFIG, "HostKey none\nHostKey /a\nHostKey //a\nHostKey b\n")
    keys = sshd(guest).host_key_files
    assert [(str(key.path), key.place) for key in keys] == [("/a", f"{CONFIG}:2"), ("/b", f"{CONFIG}:4")]


PRIVATE, PUBLIC = key_pair(0)
KEY = "/etc/ssh/ssh_host_rsa_key"


@pytest.mark.parametrize(
    ("content", "damage"),
    [(b"", "empty"), (PRIVATE, ""), (PRIVATE[:200], "cut"), (PUBLIC, "public key"), (b"\xff" * 100_000, ".")],
)
def test_a_key_is_sound_or_damaged(content: bytes, damage: str) -> None:
    guest = debian()
    guest.file(KEY, content, mode=0o600)
    key = sshd(guest).host_keys[0]
    assert (key.key is not None) is (content == PRIVATE)
    assert damage in key.damage + "." if damage else not key.damage


def test_a_key_behind_a_link_and_one_that_is_no_file() -> None:
    guest = debian()
    guest.file("/srv/key", PRIVATE)
    guest.link(KEY, "/srv/key")
    guest.remove("/etc/ssh/ssh_host_ecdsa_key")
    guest.directory("/etc/ssh/ssh_host_ed25519_key")
    linked, missing, other = sshd(guest).host_keys
    assert (linked.path, linked.damage) == (P("/srv/key"), "")
    assert missing.stat is None
    assert other.damage == "not a regular file"


def test_a_key_that_cannot_be_read_leaves_all_of_them_open() -> None:
    guest = debian()
    guest.nodes[P(KEY)].unreadable = "input/output error"
    with pytest.raises(GuestReadError, match=KEY):
        _ = sshd(guest).host_keys


def test_the_public_half_is_there_or_not_or_cannot_be_read() -> None:
    guest = debian()
    half = sshd(guest).host_keys[0].public
    assert isinstance(half, PublicHalf)
    key = sshd(guest).host_keys[0].key
    assert key is not None
    assert key.public is not None
    assert half.blob == key.public.blob
    guest.file(f"{KEY}.pub", "junk")
    broken = sshd(guest).host_keys[0].public
    assert isinstance(broken, PublicHalf)
    assert broken.problem
    guest.nodes[P(f"{KEY}.pub")].unreadable = "input/output error"
    assert isinstance(sshd(guest).host_keys[0].public, Unreadable)
    guest.remove(f"{KEY}.pub")
    assert sshd(guest).host_keys[0].public is None


# --- who makes keys -------------------------------------------------------------------

MAKING = "[Service]\nExecStart=/usr/bin/ssh-keygen -A\n"
WANTED = "/etc/systemd/system/multi-user.target.wants/"


@pytest.mark.parametrize(
    ("files", "maker"),
    [
        ({}, ""),
        ({"/usr/lib/systemd/system/sshdgenkeys.service": MAKING, f"{WANTED}sshdgenkeys.service": ""},
         "/usr/lib/systemd/system/sshdgenkeys.service"),
        ({"/usr/lib/systemd/system/sshdgenkeys.service": MAKING}, ""),
        ({"/usr/lib/systemd/system/other.service": MAKING, f"{WANTED}other.service": ""}, ""),
        ({DROP_IN: "[Service]\nExecStartPre=/usr/sbin/sshd-gen-keys-start\n"}, UNIT),
        ({DROP_IN: "[Unit]\nWants=ssh-keys.service\n", "/etc/systemd/system/ssh-keys.service": MAKING},
         "/etc/systemd/system/ssh-keys.service"),
        ({DROP_IN: "[Unit]\nWants=ssh-keys.service\n",
          "/etc/systemd/system/ssh-keys.service": "[Unit]\nConditionFirstBoot=yes\n" + MAKING},
         "/etc/systemd/system/ssh-keys.service"),
        ({DROP_IN: "[Unit]\nWants=ssh-keys.service\n", "/etc/machine-id": "0123\n",
          "/etc/systemd/system/ssh-keys.service": "[Unit]\nConditionFirstBoot=yes\n" + MAKING}, ""),
        ({"/etc/rc.local": "# ssh-keygen -A\n"}, ""),
        ({"/etc/rc.local": "ssh-keygen -A\n"}, "/etc/rc.local"),
        ({"/usr/bin/cloud-init": "", "/usr/lib/systemd/system/cloud-init.service": "[Unit]\n"},
         "cloud-init (this instance has not booted yet)"),
        ({"/usr/bin/cloud-init": "", "/usr/lib/systemd/system/cloud-init.service": "[Unit]\n",
          "/etc/cloud/cloud-init.disabled": ""}, ""),
        ({"/usr/bin/cloud-init": "", "/usr/lib/systemd/system/cloud-init.service": "[Unit]\n",
          "/var/lib/cloud/instance/sem/config_ssh": ""}, ""),
    ],
)  # fmt: skip
def test_who_makes_missing_host_keys(files: dict[str, str], maker: str) -> None:
    guest = debian()
    for path, text in files.items():
        guest.file(path, text, mode=0o755)
    assert sshd(guest).key_generator == maker


def test_red_hats_keys_are_made_by_a_template_that_a_target_wants() -> None:
    guest = rocky9()
    assert sshd(guest).key_generator == "/usr/lib/systemd/system/sshd-keygen@.service"
    guest.link("/etc/systemd/system/sshd-keygen.target", "/dev/null")
    assert sshd(guest).key_generator == ""


@pytest.mark.parametrize("path", ["/usr/lib/systemd/system/sshd-keygen@.service", "/etc/rc.local"])
def test_what_may_make_keys_and_cannot_be_read_is_no_nobody(path: str) -> None:
    guest = rocky9()
    if path == "/etc/rc.local":
        guest.remove("/usr/lib/systemd/system/sshd-keygen@.service")
        guest.file(path, "", mode=0o755)
    guest.nodes[P(path)].unreadable = "input/output error"
    with pytest.raises(GuestReadError, match=path):
        _ = sshd(guest).key_generator


# --- authorized keys ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", ["/home/ann/.ssh/authorized_keys", "/home/ann/.ssh/authorized_keys2"]),
        ("AuthorizedKeysFile none", []),
        ("AuthorizedKeysFile /etc/keys/%u %h/k", ["/etc/keys/ann", "/home/ann/k"]),
        ("AuthorizedKeysFile //etc/%%u/%U", ["/etc/%u/1000"]),
        ("AuthorizedKeysFile keys keys", ["/home/ann/keys"]),
        ("AuthorizedKeysFile " + "x" * 5000, []),
        ("Match User ann\nAuthorizedKeysFile /a", ["/a"]),
    ],
)
def test_where_keys_of_an_account_are_looked_for(line: str, expected: list[str]) -> None:
    guest = debian()
    guest.file(CONFIG, f"{line}\n")
    found = sshd(guest)
    (ann,) = (a for a in found.accounts.login if a.name == "ann")
    paths = [str(path) for path in found.authorized_keys_files(ann)]
    assert paths[: len(expected)] == expected
    assert expected or not paths


# --- programs, PAM, libraries ---------------------------------------------------------


def test_the_programs_of_a_release_and_what_names_them() -> None:
    guest = debian()
    guest.file("/usr/sbin/sshd", b"\0/usr/lib/openssh/sshd-session\0OpenSSH_10.0p1\0")
    guest.file(
        DROP_IN, "[Service]\nExecStartPre=/usr/bin/first %i\nExecStartPre=-/usr/bin/maybe\nExecStartPre=x y\n"
    )
    guest.file(CONFIG, "Subsystem sftp /usr/lib/openssh/sftp-server -l INFO\nSubsystem other internal-sftp\n")
    found = [(str(p.path), p.role, p.subsystem, p.source) for p in sshd(guest).programs]
    assert found == [
        ("/usr/sbin/sshd", Role.SERVER, "", "ssh.service"),
        ("/usr/bin/first", Role.UNIT, "", "/etc/systemd/system/sshd.service"),
        ("/usr/lib/openssh/sshd-session", Role.HELPER, "", "strings of /usr/sbin/sshd"),
        ("/usr/lib/openssh/sshd-auth", Role.HELPER, "", "where distributions put it"),
        ("/usr/lib/openssh/sftp-server", Role.SUBSYSTEM, "sftp", f"{CONFIG}:1"),
    ]


@pytest.mark.parametrize(
    ("config", "service"),
    [("UsePAM no\n", None), ("UsePAM yes\n", "sshd"), ("UsePAM yes\nPAMServiceName own\n", "own")],
)
def test_the_pam_service_is_asked_where_pam_is_used(config: str, service: str | None) -> None:
    guest = debian()
    guest.file("/usr/sbin/sshd", b"\0/run/sshd\0OpenSSH_9.9p1\0pamservicename\0", mode=0o755)
    guest.file(CONFIG, config)
    found = sshd(guest)
    assert (found.pam_stack.service if found.pam_stack is not None else None) == service
    assert bool(found.pam_modules) is (service == "sshd")


def test_modules_with_their_files_and_what_cannot_be_loaded() -> None:
    guest = debian()
    guest.file("/etc/pam.d/sshd", "auth required pam_unix.so\nauth required pam_gone.so\n")
    found = sshd(guest)
    assert [(call.module.module, path is not None) for call, path in found.pam_modules] == [
        ("pam_unix.so", True),
        ("pam_gone.so", False),
    ]
    assert found.libraries.unread == ()
    guest.file("/etc/ld.so.conf", "include /etc/ld.so.conf.d/*.conf\n")
    guest.file("/etc/pam.d/sshd", "").unreadable = "input/output error"
    with pytest.raises(GuestReadError, match=r"/etc/pam\.d/sshd"):
        _ = sshd(guest).libraries


@pytest.mark.parametrize(
    ("target", "path", "hidden"),
    [
        ("/home", "/home/ann/.ssh", True),
        ("/home", "/home", True),
        ("/home", "/homes", False),
        ("/", "/etc", True),
    ],
)
def test_what_lies_on_a_filesystem_that_is_not_mounted_is_known(target: str, path: str, hidden: bool) -> None:
    guest = debian()
    guest.unmounted = ((target, "lost"),)
    found = System(guest).unmounted_above(P(path))
    assert found == (f"{target} is not mounted here (lost)" if hidden else "")


def test_old_releases_may_do_without_privilege_separation() -> None:
    guest = debian()
    guest.file(CONFIG, "UsePrivilegeSeparation no\nHostKeyAgent /run/agent\n")
    assert not sshd(guest).privsep_disabled
    assert sshd(guest).uses_key_agent
    guest.file("/usr/sbin/sshd", b"\0OpenSSH_7.4p1\0")
    assert sshd(guest).privsep_disabled
