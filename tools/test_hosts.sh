#!/bin/sh
# Tries this checkout on other releases of Debian: in a fresh root of each, what the README tells a person to type.
# Usage: tools/test_hosts.sh [SUITE…]   (trixie and sid, unless named; as root, for it mounts and changes root)
# STEPS="setup unit" runs only these; images are kept in .cache/hosts/SUITE-images. See tools/fresh_root.sh.
set -eu
cd "$(dirname "$0")/.."
# shellcheck source=tools/fresh_root.sh
. tools/fresh_root.sh
in_a_namespace "$@"
image_tests="tests/image/test_fstab_verify.py tests/image/test_sshd.py tests/image/test_btrfs_tree.py"

checkout() { # into the root's /src, without what git ignores; images of former runs are there
    git ls-files -z --cached --others --exclude-standard | tar -c --null --files-from=- | tar -C "$root/src" -x
    mkdir -p "$root/src/.cache/images" "$cache/$suite-images"
    mount --bind "$cache/$suite-images" "$root/src/.cache/images"
}

step() { # name, shell command
    case " ${STEPS:-setup demo unit image} " in *" $1 "*) logged "$1" "$2" && quiet ;; esac
}

[ $# -gt 0 ] || set -- trixie sid
for release in "$@"; do
    lay_out "$release"
    checkout
    step setup "make setup"
    step demo "make demo"
    step unit "make test-unit test-program"
    step image ".venv/bin/pytest $image_tests -q -n 2 --dist loadfile"
    # shellcheck disable=SC2016  # the root's shell expands it
    say "$suite: $(inside '. /etc/os-release
        version() { dpkg-query -W -f "\${Version}" "$1"; }
        echo "$PRETTY_NAME, $(.venv/bin/python --version), libguestfs $(version python3-guestfs), qemu $(version qemu-utils)"')"
done
