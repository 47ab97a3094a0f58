#!/usr/bin/env bash
# Makes generated/tellurio_api and docs/api.html from openapi/tellurio.yaml.
#
#   scripts/regen.sh           writes them, the client type-checked, and tells what changed in the contract since its last release
#   scripts/regen.sh --check   writes nothing; fails, and names the files, where something is not what it would write
#   scripts/regen.sh --report  only tells what changed; fails where that breaks callers or backends
#
# The tools live in an environment of their own, with every version pinned: the output depends on them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

environment=.cache/regen
pins=openapi/requirements.txt
if ! cmp -s "$pins" "$environment/requirements.txt"; then
  rm -rf "$environment"
  "${PYTHON:-python3}" -m venv "$environment"
  "$environment/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$pins"
  cp "$pins" "$environment/requirements.txt"
fi
PATH=$PWD/$environment/bin:$PATH scripts/install_node_tools.sh
exec "$environment/bin/python" scripts/regenerate.py "$@"
