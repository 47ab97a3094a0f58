#!/usr/bin/env bash
# Makes a release: one commit and its tag. docs/releasing.md has the whole procedure.
#
#   scripts/release.sh 1.2.3            checks, writes, builds, tries the packages, commits, and tags; pushes nothing
#   scripts/release.sh 1.2.3 --dry-run  does the same, and leaves the branch and the tags as they are
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

environment=.cache/test
if ! "$environment/bin/python" -c 'import afnio_tellurio, cyclonedx, griffe' 2>/dev/null; then
  scripts/make_environment.sh "$environment" pyproject.toml --editable '.[keyring]' --group dev
fi
exec "$environment/bin/python" scripts/release.py "$@"
