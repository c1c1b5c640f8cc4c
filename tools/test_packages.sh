#!/bin/sh
# Installs what `make wheel deb zipapp` made, each in a fresh root of Debian, and uses it there: doctor, completion,
# the library, a scan by the host alone and one with the appliance. lintian judges the .deb where this host has it.
# Usage: tools/test_packages.sh [SUITE…]   (bookworm and trixie, unless named; as root). See tools/fresh_root.sh.
# WHAT="deb" tries only this one.
set -eu
cd "$(dirname "$0")/.."
# shellcheck source=tools/fresh_root.sh
. tools/fresh_root.sh
in_a_namespace "$@"
version=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' guestrepair/__init__.py)
python=.venv/bin/python
# Reads what is in the image: the appliance is not needed for it, and whatever else is wrong is no matter.
bindings="python3-guestfs python3-libnbd python3-parted python3-cryptography python3-yaml python3-lz4 python3-zstandard qemu-utils"
appliance="libguestfs-tools qemu-system-x86 linux-image-cloud-amd64"
get="DEBIAN_FRONTEND=noninteractive apt-get -qq -y"

$python -m fixtures build demo >/dev/null
image=$($python -m fixtures path demo)

fresh() { # a root of suite $1, the packages and the image in it, and nothing else of the checkout
    lay_out "$1"
    mkdir "$root/src/image" "$root/src/dist"
    mount --bind "$(dirname "$(readlink -f "$image")")" "$root/src/image"
    mount -o remount,bind,ro "$root/src/image"
    cp dist/guestrepair[-_]"$version"* dist/guestrepair.pyz "$root/src/dist/" 2>/dev/null || true
    inside "$get update"
}

used() { # name, command: it says its version, and finds in the broken image what is wrong with it
    logged "$1-version" "$2 --version"
    grep -qx "guestrepair, version $version" "$log" || die "$suite: $2 --version: $(cat "$log")"
    logged "$1-doctor" "$2 doctor"
    quiet
    # shellcheck disable=SC2016  # the root's shell expands it
    logged "$1-completion" "$2 completion bash > /src/completion && bash -n /src/completion &&
        _GUESTREPAIR_COMPLETE=bash_complete COMP_WORDS='guestrepair sc' COMP_CWORD=1 $2"
    grep -qx "plain,scan" "$log" || die "$suite: completion of 'guestrepair sc': $(cat "$log")"
    for how in --host-only ""; do
        logged "$1-scan$how" "$2 scan $how --fail-on never --format json -o /src/report.json image/$(basename "$image") || [ \$? = 3 ]"
        quiet
        grep -q '"rule": "fstab/source-not-found"' "$root/src/report.json" \
            || die "$suite: $2 scan $how did not find the wrong line of fstab: see $log"
        grep -q '"errors": \[\]' "$root/src/report.json" || die "$suite: $2 scan $how had errors: see $log"
    done
    say "$suite: $1 works"
}

wanted() { case " ${WHAT:-deb wheel zipapp} " in *" $1 "*) ;; *) return 1 ;; esac; }

if wanted deb && command -v lintian >/dev/null; then
    say "lintian: dist/guestrepair_${version}_all.deb"
    lintian --allow-root --fail-on error,warning "dist/guestrepair_${version}_all.deb"
fi
[ $# -gt 0 ] || set -- bookworm trixie
for release in "$@"; do
    if wanted deb; then
        fresh "$release"
        logged deb "$get install ./dist/guestrepair_${version}_all.deb"
        used deb guestrepair
        logged deb-pages "for page in /usr/share/man/man1/guestrepair.1.gz /usr/share/man/man1/guestrepair-fleet-scan.1.gz
            do gzip -t \$page || exit; done; python3 -W error -c 'from guestrepair import scan'"
        quiet
    fi
    if wanted wheel; then
        fresh "$release"
        logged wheel "$get --no-install-recommends install pipx python3-venv $bindings $appliance &&
            pipx install --system-site-packages dist/guestrepair-$version-py3-none-any.whl"
        used wheel /root/.local/bin/guestrepair
    fi
    if wanted zipapp; then
        fresh "$release"
        logged zipapp "$get --no-install-recommends install $bindings $appliance"
        used zipapp "python3 dist/guestrepair.pyz"
    fi
done
