#!/bin/sh
# Builds the rpm package into dist/, from the sdist there. On another distribution than Fedora's and RHEL's what the
# build needs cannot be looked up: RPMBUILD=--nodeps.
set -eu
cd "$(dirname "$0")/.."
version=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' guestrepair/__init__.py)
top=$PWD/build/rpm
rm -rf "$top"
mkdir -p "$top"
# shellcheck disable=SC2086  # none, or a list of options
PATH=/usr/sbin:/usr/bin:/sbin:/bin rpmbuild -bb --quiet ${RPMBUILD:-} --define "version $version" \
    --define "_topdir $top" --define "_sourcedir $PWD/dist" packaging/guestrepair.spec > "$top/log" 2>&1 \
    || { tail -n 30 "$top/log" >&2; echo "rpm: the build failed; all of it: $top/log" >&2; exit 1; }
mv "$top"/RPMS/noarch/*.rpm dist/
ls dist/*.rpm
