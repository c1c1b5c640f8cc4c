#!/bin/sh
# Builds the Debian package into dist/, from a copy of the checkout; as any user. `make deb` installs what it takes.
set -eu
cd "$(dirname "$0")/.."
version=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' guestrepair/__init__.py)
built=$(git log -1 --format=%ct 2>/dev/null || echo "${SOURCE_DATE_EPOCH:-$(date +%s)}")
tree=build/deb/guestrepair-$version
rm -rf build/deb
mkdir -p "$tree" dist
git ls-files -z --cached --others --exclude-standard | tar -c --null --files-from=- | tar -C "$tree" -x
maintainer=$(sed -n 's/^Maintainer: //p' debian/control)
cat > "$tree/debian/changelog" <<END
guestrepair ($version) unstable; urgency=medium

  * See /usr/share/doc/guestrepair/changelog.gz (CHANGELOG.md).

 -- $maintainer  $(date -R -u -d "@$built")
END
log=build/deb/log
# The interpreter is the distribution's, whatever comes first in PATH.
(cd "$tree" && PATH=/usr/sbin:/usr/bin:/sbin:/bin SOURCE_DATE_EPOCH=$built dpkg-buildpackage --build=binary --unsigned-changes --unsigned-source) \
    > "$log" 2>&1 || { tail -n 30 "$log" >&2; echo "deb: the build failed; all of it: $log" >&2; exit 1; }
mv build/deb/*.deb dist/
ls "dist/guestrepair_${version}_all.deb"
