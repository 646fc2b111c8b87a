#!/bin/sh
# Unpack Debian's syslog-ng into a folder, without installing it (its package conflicts with rsyslog).
# Usage: get_syslog_ng.sh FOLDER; then run the tests with SECURESCORE_SYSLOG_NG=FOLDER.
# Needs the run-time libraries: apt-get install libivykis0 libnet1 libcap2 libwrap0 libjson-c5 libpcre3
set -eu
folder=${1:?usage: get_syslog_ng.sh FOLDER}
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
if [ -x "$folder/usr/sbin/syslog-ng" ]; then
    echo "$folder already holds syslog-ng"
    exit 0
fi
download=$(mktemp -d)
trap 'rm -rf "$download"' EXIT
chown _apt "$download" 2>/dev/null || true # apt downloads as this user where it can
(cd "$download" && apt-get download -q syslog-ng-core)
dpkg -x "$download"/syslog-ng-core_*.deb "$folder"
echo "syslog-ng is in $folder"
