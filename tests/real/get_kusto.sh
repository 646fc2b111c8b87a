#!/bin/sh
# Install what judges KQL into a folder of its own: Microsoft's Kusto language service (npm), which knows syntax and
# types, and duckdb-kql (Python), which runs queries and is nobody's authority but agrees with Kusto where it is tested.
# Usage: get_kusto.sh FOLDER PYTHON; then run the tests with SECURESCORE_KUSTO=FOLDER, using the same Python.
# Needs npm and node 20: apt-get install npm
set -eu
folder=${1:?usage: get_kusto.sh FOLDER PYTHON}
python=${2:?usage: get_kusto.sh FOLDER PYTHON}
if [ -f "$folder/complete" ]; then
    echo "$folder already holds both"
    exit 0
fi
mkdir -p "$folder"
npm install --prefix "$folder" --no-audit --no-fund --silent @kusto/language-service-next@12.4.1
"$python" -m pip install --quiet --disable-pip-version-check --target "$folder/python" \
    duckdb-kql==1.1.2 antlr4-python3-runtime==4.13.2 duckdb==2.0.1 pytz==2026.6
touch "$folder/complete"
echo "Kusto's language service and duckdb-kql are in $folder"
