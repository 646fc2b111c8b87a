#!/bin/sh
# Unpack Debian's syslog-ng into a folder, without installing it (its package conflicts with rsyslog).
# apt holds the file against Debian's signed index; syslog_ng.sha256 holds it against what we looked at.
# Usage: get_syslog_ng.sh FOLDER; then run the tests with SECURESCORE_SYSLOG_NG=FOLDER.
# Needs the run-time libraries: apt-get install libivykis0 libnet1 libcap2 libwrap0 libjson-c5 libpcre3
set -eu
folder=${1:?usage: get_syslog_ng.sh FOLDER}
known=$(cd "$(dirname "$0")" && pwd)/syslog_ng.sha256
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
if [ -x "$folder/usr/sbin/syslog-ng" ]; then
    echo "$folder already holds syslog-ng"
    exit 0
fi
download=$(mktemp -d)
trap 'rm -rf "$download"' EXIT
chown _apt "$download" 2>/dev/null || true # apt downloads as this user where it can
cd "$download"
apt-get download -q syslog-ng-core
found=$(sha256sum syslog-ng-core_*.deb)
if ! grep -qxF "$found" "$known"; then
    echo "error: not among the packages of $known: $found" >&2
    echo "       If \`apt-cache show syslog-ng-core\` states this SHA-256, add the line there." >&2
    exit 1
fi
dpkg -x syslog-ng-core_*.deb "$folder"
echo "syslog-ng is in $folder"
