#!/usr/bin/env bash
# Installs Debian packages that are missing: scripts/install.sh PACKAGE...
#
# Touches nothing when all are there. The packages are only used by hand: no
# service that one of them brings is started.
set -euo pipefail

missing=()
for package in "$@"; do
	status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
	[[ $status == installed ]] || missing+=("$package")
done
[[ ${#missing[@]} -gt 0 ]] || exit 0

if ! command -v apt-get >/dev/null; then
	echo "install.sh: needs ${missing[*]}, and there is no apt-get here: please install them" >&2
	exit 1
fi
root=()
if [[ $(id -u) != 0 ]]; then
	if ! command -v sudo >/dev/null; then
		echo "install.sh: needs ${missing[*]}: install them as root with: apt-get install ${missing[*]}" >&2
		exit 1
	fi
	root=(sudo)
fi

# Maintainer scripts ask this file whether they may start a service; 101 is no.
policy=/usr/sbin/policy-rc.d
if [[ ! -e $policy ]]; then
	trap '"${root[@]}" rm -f "$policy"' EXIT
	printf '#!/bin/sh\nexit 101\n' | "${root[@]}" tee "$policy" >/dev/null
	"${root[@]}" chmod 755 "$policy"
fi

echo "installing ${missing[*]}" >&2
log=$(mktemp)
if ! {
	"${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update &&
		"${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}"
} </dev/null >"$log" 2>&1; then
	tail -n 40 "$log" >&2
	echo "install.sh: apt-get could not install ${missing[*]}; all it said is in $log" >&2
	exit 1
fi
rm -f "$log"
