"""Configurations for the oracle test: whole files, written by hand, and families of keyword and argument."""

from __future__ import annotations

import random
from collections.abc import Iterator

from guestrepair.formats.sshd_config.keywords import ROWS

ARGUMENTS = (
    "", "yes", "no", "YES", "maybe", "0", "1", "22", "-1", "99999999999", "1h", "10m30", "-5m", "1.5",
    "none", "NONE", "any", "/abs/path", "rel/path", "~/x", '"quoted value"', "'single q'", '"unclosed',
    "a b", "yes no", "a # c", "#c", "a#c", "=yes", "= yes", "a=b", "*", "user@10.0.0.1/24", "10.0.0.0/8",
    "::", "[::1]:22", "0.0.0.0:99", "aes128-ctr", "+aes128-ctr", "-x", "^hmac-sha1", "ssh-rsa,ecdsa*",
    "publickey,password", "publickey any", "INFO", "AUTH", "sha256", "inet", "local", "delayed", "ef",
    "cs0 ef", "0x10", "256", "10:30:60", "10:30", "5:200:60", "24:64", "33", "512M", "512M 1h",
    "default none", "host:22", "*:*", "any host:1", "host:x", "session=5m", "none none", "internal",
    '\\"x', "\x0b",
)  # fmt: skip
"""Arguments of every class: right for some keyword, wrong for most."""

UNDECIDED = {
    "listenaddress": frozenset(ARGUMENTS) - {"", "0", "::", "[::1]:22", "0.0.0.0:99", "10.0.0.0/8", "#c"}
}
"""Whether these pass depends on what names the network knows, which a disk image does not tell."""

WHOLE = (
    "", "\n", "   \n\t\n", "# only a comment\n", "#", "Port 22", "Port 22\r\n", "\ufeffPort 22\n",
    "Port\t22\n", "  Port 22  \n", "Port=22\n", "Port = 22\n", "Port =22\n", "Port== 22\n",
    "Port = = 22\n", "=Port 22\n", '"Port" 22\n', '"Port 22"\n', 'Port "22"\n', "Port '22'\n",
    'Port "2"2\n', "Port 2\\2\n", 'Port "22\n', "Port 22 # comment\n", "Port 22# comment\n",
    "Port 22 #\n", "Port # 22\n", "Port 22 23\n", "Port ssh\n", "Port 22\nPort 23\nPort 24\n",
    "Port 22\f\n", "\fPort 22\n", "Port 22 \f \n", "Port\v22\n", "port 22\n", "PORT 22\n", "Prot 22\n",
    "Port: 22\n", ";Port 22\n", "// Port 22\n", "Port 22;\n", "Port\n", "Port \n",
    "UsePAM yes\nUsePAM no\n", "UsePAM yes yes\n", 'UsePAM "yes" # really\n', "UsePAM 'yes'\n",
    "UsePAM ye\\s\n", "Foo\nBar 1\nPort 99999\nBaz 3\n", "Foo 1\nPort 22\nBar 2\n", "Foo 1\n",
    "Port 22\nFoo 1\nUsePAM maybe\n", "Protocol 2\n", "Protocol 1,7\n", "UseLogin bogus\n",
    "UsePrivilegeSeparation sandbox\n", "RSAAuthentication x y\n", "KeyRegenerationInterval nonsense\n",
    "Protocol\n", "SkeyAuthentication yes\n", "AuthorizedKeysFile2 a b\n",
    "Subsystem sftp internal-sftp\nSubsystem sftp /bin/x\n", "Subsystem sftp\n", "Subsystem\n",
    "Subsystem sftp internal-sftp -f AUTH -l INFO # c\n", "Subsystem a b\nSubsystem c d\n",
    "HostKey relative\n", "HostKey /nonexistent # c\n", "HostKey a b\n", "HostKey none\n",
    "AllowUsers\n", "AllowUsers # none\n", "AllowUsers a b@h c@10.0.0.0/8\n",
    "AllowUsers a@10.0.0.1/8\n", 'AllowUsers ""\n', "AllowUsers a@!\n", "AllowUsers a@1.2.3.4/33\n",
    "AllowUsers a@1.2.3.4/129\n", "AllowUsers a@::1/64\n", "AllowUsers a@fe80::/10\n",
    "AllowUsers a@b,,c\n", "AllowGroups \"\"\n", "AllowUsers a@10.0.0/8\n", "AllowUsers a@10/8\n",
    "AllowUsers a@10.0.0.0/08\n", "AllowUsers @\n", "DenyUsers *@*\nDenyGroups x y\nAllowGroups z\n",
    "Match User a\n", "Match\n", "Match user\n", "Match user a,b group c\n", "Match all\n",
    "Match ALL\n", "Match all user x\n", "Match user x all\n", "Match all # c\n", "Match # c\n",
    "Match user a # c\n", "Match user=a\n", "Match user = a\n", "Match User #a\n", 'Match User "a b"\n',
    'Match User "a\n', "Match bogus x\n", "Match host a*,!b address 10.0.0.0/8\n",
    "Match address 10.0.0.1/8\n", "Match address \n", "Match address 10.0.0.0/8,\n",
    "Match address !10.0.0.0/8,*\n", "Match localaddress ::1 localport 22\n", "Match localport x\n",
    "Match localport 0\n", "Match localport 99999\n", "Match rdomain x\n", "Match version x\n",
    "Match invalid-user\n", "Match user a user b\n", "Match Group 'a b'\n", "Match user a\nPort 22\n",
    "Match user a\nX11Forwarding no\n", "Match user a\nUsePAM yes\n", "Match all\nPort 22\n",
    "Match all\nUsePAM yes\nPort 23\n", "Match user a\nMatch all\nPort 22\n",
    "Match all\nMatch user a\nPort 22\n", "Match user a\nFoo 1\n", "Match user a\nX11Forwarding maybe\n",
    "Match user a\nSubsystem x y\n", "Match user a\nForceCommand /bin/x 'y\n",
    "Match user a\nForceCommand\n", "Match user a\n  ForceCommand echo \"a b\" # not a comment\n",
    "Match user a\nLogLevel DEBUG\n", "Match user a\nListenAddress ::\n",
    "Match user a\nAllowUsers b\nDenyUsers c\n", "Match user a\nProtocol 2\n",
    "Match user a\nUseLogin yes\n", "Match user a\nRhostsRSAAuthentication no\n",
    "Match user a\nCiphers aes128-ctr\n", "Match user a\nHostKey /x\n",
    "Match user a\nInclude /nonexistent/*\n", "Match user a\nClientAliveInterval 5\n",
    "Match user a\nAuthorizedKeysCommand relative\n", "Match user a\nPermitEmptyPasswords yes\n",
    "Match user a\nChrootDirectory %h\nForceCommand internal-sftp\nAllowTcpForwarding no\n",
    "Match user a\nAuthenticationMethods any publickey\n", "Match user a\nSetEnv A=b C\n",
    "Match user a\nPermitTTY no\nPermitTunnel no\nPermitOpen none\n",
    "Match user a\nPermitRootLogin sometimes\n", "Include\n", "Include # x\n", 'Include ""\n',
    "Include /nonexistent\n", "Include nonexistent/*.conf x/*.y\n",
    "Include /etc/ssh/sshd_config.d/*.conf\n", "Include /\n", "Include /tmp\nPort 22\n",
    'Include "/a b/*"\n', "Include /etc/hostname.nonexistent\nFoo 1\n", "Include [\n",
    "Include ~nosuch/x\n", "PasswordAuthentication no\nAuthenticationMethods password\n",
    "AuthenticationMethods publickey,password\n", "AuthenticationMethods any\n",
    "AuthenticationMethods any any\n", "AuthenticationMethods password publickey\n",
    "PubkeyAuthentication no\nAuthenticationMethods publickey password\n",
    "AuthenticationMethods bogus\n", "AuthenticationMethods publickey,\n",
    "AuthenticationMethods publickey:pam\n", "AuthenticationMethods\n",
    "AuthenticationMethods keyboard-interactive:pam,publickey\n", "AuthenticationMethods hostbased\n",
    "KbdInteractiveAuthentication no\nAuthenticationMethods keyboard-interactive\n",
    "AuthenticationMethods none\n", "AuthenticationMethods publickey\nAuthenticationMethods any\n",
    "AuthenticationMethods # x\n", "AuthorizedKeysCommand /bin/true\n",
    "AuthorizedKeysCommand /bin/true\nAuthorizedKeysCommandUser nobody\n",
    "AuthorizedKeysCommand none\n", "AuthorizedKeysCommand bin/true\n",
    'AuthorizedKeysCommand "/bin/true"\n', "AuthorizedPrincipalsCommand /bin/x\n",
    "AuthorizedKeysCommandUser\n", "AuthorizedKeysCommand\n", "AddressFamily inet\nListenAddress ::\n",
    "AddressFamily inet6\nListenAddress 0.0.0.0\n", "AddressFamily inet6\nListenAddress [::]:22\n",
    "ListenAddress 1.2.3.4:22:33\n", "ListenAddress [::1\n", "ListenAddress [::1]x\n",
    "ListenAddress 0.0.0.0:0\n", "ListenAddress 0.0.0.0:x\n", "ListenAddress 1.2.3.4.5\n",
    "ListenAddress ::1 22\n", "ListenAddress 0.0.0.0:22\nPort 23\n", "ListenAddress 0.0.0.0 rdomain\n",
    "Ciphers aes128-ctr,aes256-ctr\n", "Ciphers arcfour\n", "Ciphers aes128-ctr,,arcfour\n",
    "Ciphers ,arcfour\n", "Ciphers aes128-ctr arcfour\n", "Ciphers -arcfour\n", "Ciphers +arcfour\n",
    "Ciphers ^aes128-ctr\n", "Ciphers +\n", "Ciphers aes*\n", "Ciphers AES128-CTR\n", "Ciphers none\n",
    "Ciphers blowfish-cbc\n", "MACs hmac-sha2-256\n", "MACs hmac-ripemd160\n",
    "MACs hmac-sha2-512-etm@openssh.com,umac-64@openssh.com\n", "KexAlgorithms curve25519-sha256\n",
    "KexAlgorithms mlkem768x25519-sha256\n", "KexAlgorithms sntrup761x25519-sha512\n",
    "KexAlgorithms diffie-hellman-group1-sha1\n",
    "KexAlgorithms sntrup4591761x25519-sha512@tinyssh.org\n", "HostKeyAlgorithms ssh-ed25519\n",
    "HostKeyAlgorithms ssh-*\n", "HostKeyAlgorithms !ssh-rsa\n", "HostKeyAlgorithms RSA\n",
    "HostKeyAlgorithms ed25519\n", "HostKeyAlgorithms bogus\n", "PubkeyAcceptedKeyTypes +ssh-rsa\n",
    "PubkeyAcceptedAlgorithms -ssh-rsa*\n", "CASignatureAlgorithms rsa-sha2-512\n",
    "HostKeyAlgorithms ssh-dss\n", "HostbasedAcceptedKeyTypes *\n",
    "HostKeyAlgorithms sk-ssh-ed25519@openssh.com\n", "LoginGraceTime 0\n", "LoginGraceTime 2m30s\n",
    "LoginGraceTime 2M\n", "LoginGraceTime 5y\n", "LoginGraceTime +5\n", "LoginGraceTime 99999w\n",
    "LoginGraceTime -1\n", "LoginGraceTime 1h 2m\n", "ClientAliveInterval 1d2h3m4s\n",
    "MaxStartups 10:30:100\n", "MaxStartups 10:0:100\n", "MaxStartups 10:101:100\n",
    "MaxStartups 100:30:10\n", "MaxStartups 0\n", "MaxStartups -5\n", "MaxStartups 10:30:100x\n",
    "MaxStartups 10x\n", "MaxStartups 1:2:3:4\n", "MaxAuthTries 6 # x\n", "MaxAuthTries six\n",
    "MaxAuthTries 2147483648\n", "MaxSessions 0\n", "MaxAuthTries +6\n",
    "PermitOpen host:22 [::1]:80 *:*\n", "PermitOpen host\n", "PermitOpen any\n", "PermitOpen none x\n",
    "PermitListen 8080 localhost:80\n", "PermitListen x\n", "PermitOpen :22\n", "PermitOpen host:0\n",
    "IPQoS af21 cs1\n", "IPQoS 0x20\n", "IPQoS 300\n", "IPQoS af21 cs1 ef\n", "IPQoS none\n",
    "IPQoS 010\n", "IPQoS va\n", "RekeyLimit 1G 1h\n", "RekeyLimit 1G none\n", "RekeyLimit 15\n",
    "RekeyLimit 16\n", "RekeyLimit 1.5G\n", "RekeyLimit 1GB\n", "RekeyLimit default 30m x\n",
    "RekeyLimit 1x\n", "RekeyLimit -5\n", "RekeyLimit 1..5G\n", "StreamLocalBindMask 0177\n",
    "StreamLocalBindMask 0999\n", "StreamLocalBindMask 1777\n", "StreamLocalBindMask 08\n",
    "PermitUserEnvironment LANG,LC_*\n", "AcceptEnv LANG LC_* # c\n", "AcceptEnv A=b\n",
    'SetEnv "A=b c" D=e\n', "SetEnv A\n", "SetEnv A=b A=c\n", "PermitTunnel Ethernet\n",
    "PermitTunnel ethernet\n", "VersionAddendum none\n", "VersionAddendum a b c # d\n",
    'VersionAddendum "x\n', "Banner /etc/issue.net\n", "Banner none # x\n", "SyslogFacility AUTHPRIV\n",
    "SyslogFacility authpriv\n", "SyslogFacility MAIL\n", "LogLevel VERBOSE\n", "LogLevel debug3\n",
    "LogLevel NOTICE\n", "LogVerbose kex.c:*:1000,*:kex_exchange_identification():*\n",
    "LogVerbose none x\n", "PubkeyAuthOptions touch-required verify-required\n", "PubkeyAuthOptions x\n",
    "ChannelTimeout session=5m direct-tcpip=1h\n", "ChannelTimeout session\n", "ChannelTimeout =5\n",
    "UnusedConnectionTimeout none\n", "UnusedConnectionTimeout 5m\n", "RequiredRSASize 2048\n",
    "RSAMinSize 2048\n", "PerSourceMaxStartups none\n", "PerSourceNetBlockSize 24:64\n",
    "PerSourcePenalties no\n", "RDomain x\n", "SshdSessionPath /x\n", "PAMServiceName x\n",
    "RefuseConnection yes\n", "DebianBanner no\n", "GSSAPIKeyExchange no\n", "FingerprintHash md5\n",
    "FingerprintHash ripemd160\n", "ModuliFile /x\n", "SecurityKeyProvider internal\n",
    "TrustedUserCAKeys /x\nRevokedKeys /y\n", "PermitRootLogin no#x\n",
    "PermitRootLogin Without-Password\n", "Compression delayed\nTCPKeepAlive yes\nUseDNS no\n",
    "GatewayPorts clientspecified\n", "IgnoreRhosts shosts-only\n",
    "AllowTcpForwarding local\nAllowStreamLocalForwarding all\n",
    "X11UseLocalhost no\nX11DisplayOffset 10\n",
    "AuthorizedKeysFile .ssh/authorized_keys .ssh/authorized_keys2\n", 'AuthorizedKeysFile ""\n',
    "AuthorizedKeysFile none\n", "AuthorizedKeysFile # x\n", "AuthorizedKeysFile ~/x\n",
    "Port 22\0garbage\nFoo 1\n", "Foo\0 1\nPort x\n", "# caf\u00e9\nPort 22\n", "Port \u0662\u0662\n",
    "Banner /caf\u00e9\n", "Port 22\nPort 23\\\nPort 24\n", "x" * 2000 + " 1\n",
    "Banner " + "x" * 5000 + "\n", "AllowUsers " + "u " * 500 + "\n", "Port 1\n" * 256, "Port 1\n" * 257,
)  # fmt: skip


def families(step: int) -> Iterator[str]:
    """Every keyword with every ``step``-th argument, the start shifting from keyword to keyword."""
    names = sorted({row.name for row in ROWS} | {"bogus", "permitrootlogn"})
    for shift, name in enumerate(names):
        for index, argument in enumerate(ARGUMENTS):
            if (index + shift) % step == 0 and argument not in UNDECIDED.get(name, ()):
                yield f"{name} {argument}\n"


FRAGMENTS = (
    '"',
    "'",
    "\\",
    " ",
    "#",
    "=",
    ",",
    "!",
    "*",
    "/",
    "1",
    "x",
    "\t",
    "yes",
    "no",
    "@",
    "10.0.0.0/8",
    ":",
)
MATCHES = ("user a", "group b", "all", "address 10.0.0.0/8", "host x user y", "", "user", "localport 22")


def combinations(count: int, seed: int) -> Iterator[str]:
    """Whole files of a few lines drawn at random, the same for the same seed: blocks, odd quoting,"
    " bad values."""
    draw = random.Random(seed)  # noqa: S311  (repeatable, not secret)
    names = sorted({row.name for row in ROWS} - {"include", "listenaddress"})
    for _ in range(count):
        lines = []
        for _ in range(draw.randint(1, 5)):
            odd = "".join(draw.choice(FRAGMENTS) for _ in range(draw.randint(0, 6)))
            argument = draw.choice([a for a in ARGUMENTS if "~" not in a])
            match = f"Match {draw.choice(MATCHES)} {draw.choice(('', odd))}"
            lines.append(
                draw.choice((match, f"{draw.choice(names)} {argument}", f"{draw.choice(names)}={odd}"))
            )
        yield "\n".join(lines) + "\n"
