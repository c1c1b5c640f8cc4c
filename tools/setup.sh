#!/bin/sh
# Installs what guestrepair needs on this machine: system packages by the
# distribution's package manager, and a virtual environment in .venv made from
# an interpreter that can import libguestfs's bindings.
# Usage: tools/setup.sh [runtime|full|packages]
# full, the default, adds what the fixtures and tests need to runtime; packages is what building a .deb takes, alone.
set -eu
cd "$(dirname "$0")/.."
profile=${1:-full}

say() { printf '%s\n' "setup: $*" >&2; }
die() { printf '%s\n' "setup: $*" >&2; exit 1; }

# Runtime: bindings, the programs that the appliance copies from this host
# (one package a filesystem or volume type), qemu, and the readers of journals.
debian_runtime="python3 python3-venv python3-guestfs libguestfs-tools libguestfs-xfs
  btrfs-progs cryptsetup-bin dosfstools e2fsprogs gdisk lvm2 mdadm ntfs-3g parted sleuthkit
  python3-parted python3-libnbd python3-rpm python3-apt python3-cryptography python3-yaml
  qemu-system-x86 qemu-utils ovmf nbdkit file xz-utils zstd openssh-client ca-certificates openssl"
# Kernels for the appliance: Debian's name, and Ubuntu's.
debian_kernels="linux-image-cloud-amd64 linux-image-virtual"
# Fixtures and tests: image building and the independent judges.
debian_full="make git mmdebstrap rpm dpkg-dev fakeroot cpio openssh-server debian-archive-keyring
  pacman-package-manager makepkg libarchive-tools dnf createrepo-c squashfs-tools mtools
  grub-pc-bin grub-efi-amd64-bin util-linux db5.3-util strace sudo selinux-utils
  ewf-tools nginx-light nftables iptables iproute2 systemd-journal-remote auditd zsh fish mandoc man-db"

# Building the Debian package, and its manual pages: what debian/control says.
debian_packages="dpkg-dev debhelper dh-python pybuild-plugin-pyproject python3-all python3-hatchling
  python3-click python3-crc32c python3-cryptography python3-tabulate"

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif command -v sudo >/dev/null 2>&1; then sudo "$@"
    else die "needs root to install packages: run as root, or install sudo; wanted: $*"
    fi
}

available() { # the names of $* that this release's archive has
    for p in "$@"; do
        if apt-cache show "$p" >/dev/null 2>&1; then printf '%s ' "$p"; fi
    done
}

known() { apt-cache pkgnames | head -n 1 | grep -q .; } # whether this machine has lists of packages at all

setup_debian() {
    case $profile in
        packages) wanted=$debian_packages ;;
        runtime) wanted=$debian_runtime ;;
        *) wanted="$debian_runtime $debian_full" ;;
    esac
    # A kernel for the appliance, when /boot has none that can be read.
    readable_kernel=""
    for k in /boot/vmlinuz-*; do
        [ -r "$k" ] && [ -d "/lib/modules/${k#/boot/vmlinuz-}" ] && readable_kernel=$k
    done
    [ "$profile" = packages ] || [ -n "$readable_kernel" ] || wanted="$wanted $debian_kernels"
    missing=""
    for p in $wanted; do
        dpkg-query -W -f='${Status}\n' "$p" 2>/dev/null | grep -q '^install ok installed$' || missing="$missing $p"
    done
    [ -n "$missing" ] || return 0
    # shellcheck disable=SC2086  # a list of words is meant, here and below
    if known && [ -z "$(available $missing)" ]; then return 0; fi # this release does not have them
    as_root apt-get -qq update
    # shellcheck disable=SC2086
    found=$(available $missing)
    say "installing: $found"
    # shellcheck disable=SC2086
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install $found >/dev/null
    # Ubuntu's kernels can be read by root alone.
    for k in /boot/vmlinuz-*; do
        [ -r "$k" ] || [ ! -e "$k" ] || say "libguestfs cannot read $k: sudo chmod a+r $k"
    done
}

setup_fedora() {
    wanted="python3-libguestfs libguestfs guestfs-tools libguestfs-xfs btrfs-progs
      cryptsetup dosfstools e2fsprogs gdisk lvm2 mdadm parted sleuthkit python3-pyparted
      python3-libnbd python3-rpm python3-cryptography python3-pyyaml qemu-system-x86-core qemu-img edk2-ovmf
      nbdkit nbdkit-curl-plugin nbdkit-ssh-plugin nbdkit-xz-filter
      xz zstd openssh-clients openssl"
    missing=""
    for p in $wanted; do
        rpm -q "$p" >/dev/null 2>&1 || missing="$missing $p"
    done
    [ -n "$missing" ] || return 0
    # shellcheck disable=SC2086  # lists of words are meant; RHEL does not have all of them
    found=$(dnf -q repoquery --queryformat '%{name}\n' $missing | sort -u)
    [ -n "$found" ] || return 0
    say "installing: $(echo "$found" | tr '\n' ' ')"
    # shellcheck disable=SC2086
    as_root dnf -q -y install $found >/dev/null
}

[ -r /etc/os-release ] || die "no /etc/os-release: install the packages that docs/hosts.md lists by hand"
# shellcheck disable=SC1091
. /etc/os-release
case " ${ID:-} ${ID_LIKE:-} " in
    *" debian "*|*" ubuntu "*) setup_debian ;;
    *" fedora "*) setup_fedora ;;
    *) die "unknown system '${ID:-?}': install the packages that docs/hosts.md lists by hand, then run 'make venv'" ;;
esac

[ "$profile" != packages ] || exit 0

# The virtual environment must see the system's bindings, so its interpreter
# must be one that can import them (a newer python3 first in PATH cannot).
python=""
for candidate in /usr/bin/python3 /usr/bin/python3.[0-9]* python3; do
    if "$candidate" -c 'import guestfs, venv, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        python=$candidate; break
    fi
done
[ -n "$python" ] || die "no Python 3.11 or newer here can import guestfs (packages python3-guestfs, python3-venv); \
hosts whose own Python is older are in docs/hosts.md"
stamp=.venv/.stamp
wanted='.[test]'
[ "$profile" != runtime ] || wanted=.
key=$("$python" -c 'import sys; print(sys.version)'; echo "$wanted"; cat pyproject.toml tools/setup.sh)
if [ "$(cat $stamp 2>/dev/null || true)" != "$key" ]; then
    say "making .venv with $python"
    if ! .venv/bin/python -c 'import guestfs' 2>/dev/null; then
        "$python" -m venv --clear --system-site-packages .venv
    fi
    .venv/bin/python -m pip install --quiet --disable-pip-version-check -e "$wanted"
    printf '%s\n' "$key" > $stamp
fi
