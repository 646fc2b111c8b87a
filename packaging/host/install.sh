#!/bin/sh
# Installs from this bundle without a network: ./install.sh [FOLDER], default /opt/secure-score-connector.
# Checks every file against SHA256SUMS and every wheel against the lock. PYTHON=… names another interpreter.
set -eu
cd "$(dirname "$0")"
prefix=${1:-/opt/secure-score-connector}
python=${PYTHON:-python3}
sha256sum --check --quiet SHA256SUMS
if [ -e "$prefix" ] && [ ! -e "$prefix/pyvenv.cfg" ]; then
    echo "error: $prefix exists and is no virtual environment: name another folder" >&2
    exit 1
fi
"$python" -m venv --clear "$prefix" || {
    echo "error: $python could not make a virtual environment (on Debian: apt-get install python3-venv)" >&2
    exit 1
}
"$prefix/bin/python3" -m pip install --quiet --disable-pip-version-check \
    --no-index --find-links wheels --require-hashes -r requirements.lock
"$prefix/bin/securescore" --help >/dev/null
echo "Installed: $prefix/bin/securescore"
echo "As a service: README.md tells how to make its account and where securescore.service goes."
