#!/usr/bin/env bash
# Makes generated/tellurio_api and docs/api.html from openapi/tellurio.yaml.
#
#   scripts/regen.sh           writes them, type-checks the client, and reports what changed in the contract since its last release
#   scripts/regen.sh --check   writes nothing; fails and names the files that are out of date
#   scripts/regen.sh --report  only reports what changed; fails if that breaks callers or backends, unless
#                              openapi/accepted-changes.txt accepts it
#   scripts/regen.sh --against FILE   the same, against another document, such as an older release
#
# The tools have their own environment, with every version and hash pinned: what they write ships.
set -euo pipefail
export REGEN_CALLED_IN=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.."

environment=.cache/regen
pins=openapi/requirements.txt
scripts/make_environment.sh "$environment" "$pins" --require-hashes --requirement "$pins"
PATH=$PWD/$environment/bin:$PATH scripts/install_node_tools.sh
exec "$environment/bin/python" scripts/regenerate.py "$@"
