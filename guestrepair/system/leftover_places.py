"""Where programs leave what belongs to one machine: paths by kind, for :mod:`guestrepair.system.leftovers`.

A line is a path; ``~/`` stands for every home directory. A component may be a shell pattern; ``**`` as the
last one is every file below. ``PATH|TEXT``: only a file that holds the text. ``link:PATH``: the symbolic link
itself, wherever it leads.

Sources: what virt-sysprep's operations remove (virt-sysprep(1)), read 2026-11; systemd's file-hierarchy(7),
random-seed(8), systemd-creds(1), coredump.conf(5); cloud-init's documentation (*Exported paths*, ``clean``);
NetworkManager(8), *FILES*; lvmdevices(8); the manuals of the programs whose files they are.
"""

from __future__ import annotations

from collections.abc import Mapping

PLACES: Mapping[str, str] = {
    "ssh-host-keys": "/etc/ssh/ssh_host_*",
    "authorized-keys": "~/.ssh/authorized_keys ~/.ssh/authorized_keys2",
    "credentials": """
        ~/.ssh/id_rsa ~/.ssh/id_dsa ~/.ssh/id_ecdsa ~/.ssh/id_ecdsa_sk ~/.ssh/id_ed25519 ~/.ssh/id_ed25519_sk
        ~/.netrc ~/.git-credentials ~/.aws/credentials ~/.azure/accessTokens.json ~/.azure/msal_token_cache.*
        ~/.config/gcloud/credentials.db ~/.config/gcloud/application_default_credentials.json
        ~/.config/gh/hosts.yml ~/.config/hub ~/.kube/config ~/.vault-token ~/.pgpass ~/.my.cnf|password
        ~/.docker/config.json|"auth" ~/.config/containers/auth.json|"auth" ~/.npmrc|_auth ~/.pypirc|password
        ~/.ansible/galaxy_token ~/.terraform.d/credentials.tfrc.json ~/.s3cfg ~/.rclone.conf
        ~/.config/rclone/rclone.conf ~/.smbcredentials
        """,
    "service-keys": """
        /etc/letsencrypt/accounts/** /etc/letsencrypt/archive/** /etc/wireguard/*.conf|PrivateKey
        /etc/wireguard/*.key /etc/openvpn/*.key /etc/openvpn/*/*.key /etc/ssl/private/* /etc/pki/tls/private/*
        /etc/pki/CA/private/*
        """,
    "credential-secret": "/var/lib/systemd/credential.secret",
    "cloud-state": """
        link:/var/lib/cloud/instance /var/lib/cloud/instances/** /var/lib/cloud/data/** /var/lib/cloud/sem/**
        """,
    "cloud-network": """
        /etc/netplan/50-cloud-init.yaml /etc/NetworkManager/conf.d/99-cloud-init.conf
        /etc/NetworkManager/system-connections/cloud-init-*.nmconnection
        /etc/systemd/network/10-cloud-init-*.network /etc/network/interfaces.d/50-cloud-init.cfg
        /etc/network/interfaces.d/50-cloud-init /etc/sysconfig/network-scripts/ifcfg-*|cloud-init
        """,
    "cloud-access": "/etc/ssh/sshd_config.d/50-cloud-init.conf /etc/sudoers.d/90-cloud-init-users",
    "persistent-names": "/etc/udev/rules.d/70-persistent-net.rules /etc/udev/rules.d/70-persistent-cd.rules",
    "subscription": """
        /etc/pki/consumer/* /etc/pki/entitlement/* /etc/sysconfig/rhn/systemid /etc/smolt/hw-uuid
        /etc/smolt/uuiddb.cfg /var/lib/yum/uuid /var/lib/ubuntu-advantage/private/machine-token.json
        /var/lib/landscape/client/*.bpickle /var/lib/amazon/ssm/registration
        /var/lib/amazon/ssm/*/registration /var/lib/waagent/** /var/lib/google/** /etc/puppet/ssl/**
        /etc/puppetlabs/puppet/ssl/** /var/lib/puppet/ssl/** /etc/salt/pki/minion/* /etc/salt/minion_id
        /etc/chef/client.pem
        """,
    "domain": """
        /etc/krb5.keytab /var/lib/sss/db/* /var/lib/sss/secrets/* /etc/ipa/ca.crt /etc/ipa/default.conf
        /var/lib/ipa-client/pki/* /var/lib/ipa-client/sysrestore/* /var/lib/samba/*.tdb /var/lib/samba/*.ldb
        /var/lib/samba/private/*
        """,
    "iscsi": "/etc/iscsi/initiatorname.iscsi|InitiatorName=iqn."
    " /etc/iscsi/initiatorname.iscsi|InitiatorName=eui.",
    "nvme": "/etc/nvme/hostnqn /etc/nvme/hostid",
    "history": """
        ~/.bash_history ~/.zsh_history ~/.zhistory ~/.history ~/.sh_history ~/.ash_history ~/.ksh_history
        ~/.local/share/fish/fish_history ~/.lesshst ~/.viminfo ~/.local/state/nvim/shada/* ~/.python_history
        ~/.mysql_history ~/.psql_history ~/.sqlite_history ~/.rediscli_history ~/.node_repl_history
        ~/.wget-hsts ~/.ssh/known_hosts ~/.ssh/known_hosts.old ~/.ansible/tmp/** ~/.sudo_as_admin_successful
        """,
    "logs": """
        /var/log/** /var/account/pacct* /var/log/account/pacct* /var/lib/logrotate.status
        /var/lib/logrotate/status /var/lib/logrotate/logrotate.status
        """,
    "leases": """
        /var/lib/dhclient/* /var/lib/dhcp/* /var/lib/dhcpd/* /var/lib/dhcpcd/* /var/lib/dhcpcd5/*
        /var/lib/NetworkManager/*.lease /var/lib/NetworkManager/secret_key /var/lib/NetworkManager/timestamps
        /var/lib/NetworkManager/seen-bssids /var/lib/wicked/*
        """,
    "random-seed": """
        /var/lib/systemd/random-seed /var/lib/urandom/random-seed /var/lib/misc/random-seed
        /var/lib/random-seed /var/lib/seedrng/seed.* /boot/efi/loader/random-seed /efi/loader/random-seed
        /boot/loader/random-seed
        """,
    "package-cache": """
        /var/cache/apt/archives/*.deb /var/cache/apt/archives/partial/* /var/cache/dnf/**
        /var/cache/libdnf5/** /var/cache/yum/** /var/cache/zypp/packages/** /var/cache/pacman/pkg/*
        /var/cache/apk/*
        """,
    "temporary": "/tmp/** /var/tmp/**",  # noqa: S108 - of the guest
    "crash": """
        /var/crash/** /var/spool/abrt/** /var/log/dump/** /var/lib/systemd/coredump/*
        /var/lib/apport/coredump/*
        """,
    "account-copies": "/etc/passwd- /etc/shadow- /etc/group- /etc/gshadow- /etc/subuid- /etc/subgid-",
    "installer": """
        /root/anaconda-ks.cfg /root/original-ks.cfg /root/initial-setup-ks.cfg /root/install.log
        /root/install.log.syslog /etc/blkid.tab* /etc/blkid/blkid.tab*
        """,
    "lvm": "/etc/lvm/archive/*.vg /etc/lvm/backup/* /etc/lvm/devices/system.devices"
    " /etc/lvm/devices/backup/*",
    "spool": """
        /var/mail/* /var/spool/cron/* /var/spool/cron/crontabs/* /var/spool/cron/tabs/* /var/spool/at/*
        /var/spool/atjobs/* /var/spool/atspool/* /var/spool/cron/atjobs/* /var/spool/cron/atspool/*
        /var/spool/mail/*
        """,
    "names": "/etc/machine-info",
    "hostname": "/etc/hostname",
}

COPY_TREES = ("/etc", "/root", "/srv")
COPY_PATTERNS = ("*~", "*.bak", "*.guestrepair-[0-9]*")
"""Names of the copies that editors, people and this program leave beside a file."""
