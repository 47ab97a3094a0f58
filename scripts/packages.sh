#!/usr/bin/env bash
# Builds the wheel and the source distribution into dist/, and checks them as PyPI and users would.
#
#   scripts/packages.sh              builds and checks
#   scripts/packages.sh --trials     also runs tests against the installed wheel: under each Python that is here,
#                                    and with the lowest version of each dependency
#   scripts/packages.sh --tag v1.2.3 fails if the packages are not those of this tag
#
# The tools have their own environment, with every version and hash pinned: what they write ships.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

environment=.cache/packages
pins=scripts/packages.txt
scripts/make_environment.sh "$environment" "$pins" --require-hashes --requirement "$pins"
exec "$environment/bin/python" scripts/packages.py "$@"
