# shellcheck shell=sh
# For tools/test_hosts.sh and tools/test_packages.sh, which read this file: fresh roots of Debian to try things in.
#
# Roots are made by mmdebstrap and kept as .cache/hosts/SUITE-KEY.tar, KEY being the digest of how they are made.
# Each use works on an unpacked copy ($root), in a mount namespace of its own, and removes it. What apt
# downloaded is kept beside them. KEEP=1 keeps the unpacked copy.
# APTOPT is given to apt there: APTOPT='Acquire::Check-Valid-Until "false"' where the archive is a snapshot.
# Expects: the checkout as working directory.
cache=$(mkdir -p .cache/hosts && cd .cache/hosts && pwd -P)
work=${TMPDIR:-/var/tmp}
include=ca-certificates,git,make

say() { printf '%s\n' "${0##*/}: $*" >&2; }
die() { say "$*"; exit 1; }

in_a_namespace() { # begins again, so that no mount is left behind, whatever ends the script
    [ "$(id -u)" = 0 ] || die "needs root, to mount and to change root: run it as root or with sudo"
    [ "${GUESTREPAIR_HOSTS_NAMESPACE:-}" = 1 ] && return
    export GUESTREPAIR_HOSTS_NAMESPACE=1
    exec unshare --mount --propagation private "$0" "$@"
}

base_root() { # $base: a fresh root of suite $1, as a tar file
    key=$(printf '%s' "$1 minbase main $include" | sha256sum | cut -c1-12)
    base=$cache/$1-$key.tar
    [ -e "$base" ] && return
    say "$1: making a fresh root"
    TMPDIR=$work mmdebstrap --quiet --format=tar --variant=minbase --components=main --include="$include" \
        ${APTOPT:+--aptopt="$APTOPT"} "$1" "$base.part"
    mv "$base.part" "$base"
}

take_away() { # the copy at $root
    [ -n "${root:-}" ] || return 0
    copy=$root root=
    [ -z "${KEEP:-}" ] || { say "kept: $copy"; return 0; }
    umount -R "$copy"
    # What is mounted there are this host's own files: a directory of them must not be removed with the copy.
    ! grep -qF " $copy" /proc/self/mounts || die "left there, for something is still mounted in it: $copy"
    rm -rf --one-file-system "$copy"
}

lay_out() { # $root: a copy of a fresh root of suite $1, with what this host knows about the way to the archives
    suite=$1
    base_root "$suite"
    take_away
    root=$(mktemp -d "$work/guestrepair-hosts.XXXXXX")
    trap take_away EXIT
    mount --bind "$root" "$root" # the root of a mount, as a real one is: a cage makes another from there
    tar -C "$root" --exclude='./dev/*' -xf "$base"
    chmod 755 "$root"
    for place in dev proc sys; do mount --rbind "/$place" "$root/$place"; done
    mkdir -p "$cache/$suite-debs/partial" "$root/src"
    mount --bind "$cache/$suite-debs" "$root/var/cache/apt/archives"
    [ ! -e /etc/resolv.conf ] || cp -L /etc/resolv.conf "$root/etc/resolv.conf"
    cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
    # apt forgets what it has installed; here it is for the next time.
    echo 'Binary::apt-get::APT::Keep-Downloaded-Packages "true";' > "$root/etc/apt/apt.conf.d/99keep"
}

inside() { # a shell command in the root, with what this host sets for its package clients and nothing else
    chroot "$root" /usr/bin/env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 TMPDIR=/var/tmp \
        TERM=dumb CI=true ${PIP_CERT:+PIP_CERT="$PIP_CERT"} ${PIP_INDEX_URL:+PIP_INDEX_URL="$PIP_INDEX_URL"} \
        ${http_proxy:+http_proxy="$http_proxy"} ${https_proxy:+https_proxy="$https_proxy"} \
        sh -c "cd /src && $1" </dev/null
}

logged() { # name, shell command: it succeeds in the root; all that it says is in $log
    log=$cache/$suite-$1.log
    say "$suite: $1: $2"
    inside "$2" >"$log" 2>&1 || { tail -n 40 "$log" >&2; die "$suite: failed: $2 (all that it said: $log)"; }
}

quiet() { # after logged: nothing but our own lines was on the terminal
    if grep -nE 'Traceback|Warning\b|WARNING:|[Dd]eprecat|^[WE]: |dpkg: |^debconf: ' "$log" >&2; then
        die "$suite: a warning or a traceback (all that was said: $log)"
    fi
}
