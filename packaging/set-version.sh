#!/bin/sh
# set-version.sh STAGED VERSION: gives a staged tree another version, in the program and in the changelog.
#
# For builds of one tree under several versions: the upgrade tests need a lower one and a higher one. The date is
# the changelog's own, so that such a build is as reproducible as any.
set -eu
staged=$1 version=$2
case $version in
*[!0-9A-Za-z.+~]* | '' | [!0-9]*) echo "set-version.sh: not a version: $version" >&2; exit 2 ;;
esac
grep -qx "__version__ = \"$version\"" "$staged/app/caxton/__init__.py" && exit 0
sed -i "s/^__version__ = .*/__version__ = \"$version\"/" "$staged/app/caxton/__init__.py"
signature=$(grep -m 1 '^ -- ' "$staged/debian/changelog")
{
    printf 'caxton (%s) unstable; urgency=medium\n\n' "$version"
    printf '  * The tree as it is, under this version.\n\n%s\n' "$signature"
} >"$staged/debian/changelog.new"
mv "$staged/debian/changelog.new" "$staged/debian/changelog"
