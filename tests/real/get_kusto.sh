#!/bin/sh
# Install what judges KQL into a folder of its own: Microsoft's Kusto language service (npm), which knows syntax and
# types, and duckdb-kql (Python), which runs queries and is nobody's authority but agrees with Kusto where it is tested.
# Each package by the hash in npm/kusto/package-lock.json and requirements-kusto.lock.
# Usage: get_kusto.sh FOLDER PYTHON; then run the tests with SECURESCORE_KUSTO=FOLDER, using the same Python.
# Needs npm and node 20: apt-get install npm
set -eu
folder=${1:?usage: get_kusto.sh FOLDER PYTHON}
python=${2:?usage: get_kusto.sh FOLDER PYTHON}
here=$(dirname "$0")
if [ -f "$folder/complete" ]; then
    echo "$folder already holds both"
    exit 0
fi
mkdir -p "$folder"
cp "$here"/npm/kusto/package*.json "$folder"
(cd "$folder" && npm ci --ignore-scripts --no-audit --no-fund --silent)
"$python" -m pip install --quiet --disable-pip-version-check --target "$folder/python" \
    --require-hashes -r "$here/requirements-kusto.lock"
touch "$folder/complete"
echo "Kusto's language service and duckdb-kql are in $folder"
