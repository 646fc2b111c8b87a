#!/bin/sh
# Install Azurite (Microsoft's emulator of Azure Storage) from npm into a folder of its own, each package by the hash in
# npm/azurite/package-lock.json; no package runs a script of its own.
# Usage: get_azurite.sh FOLDER; then run the tests with SECURESCORE_AZURITE=FOLDER.
# Needs npm and node 20: apt-get install npm
set -eu
folder=${1:?usage: get_azurite.sh FOLDER}
if [ -f "$folder/node_modules/azurite/dist/src/blob/main.js" ]; then
    echo "$folder already holds Azurite"
    exit 0
fi
mkdir -p "$folder"
cp "$(dirname "$0")"/npm/azurite/package*.json "$folder"
(cd "$folder" && npm ci --ignore-scripts --no-audit --no-fund --silent)
echo "Azurite is in $folder"
