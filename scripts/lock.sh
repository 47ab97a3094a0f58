#!/usr/bin/env bash
# Pins, with hashes, what writes code that ships: every package of three groups of pyproject.toml, and what they require.
#
#   scripts/lock.sh            keeps the versions as far as pyproject.toml lets them stay
#   scripts/lock.sh --upgrade  takes the newest; further arguments go to `uv pip compile`
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

lock() { # GROUP FILE ARGUMENTS...
  .cache/uv/bin/uv pip compile --quiet --group "$1" --output-file "$2" --generate-hashes --universal \
    --python-version 3.11 --custom-compile-command scripts/lock.sh "${@:3}" >/dev/null
}
scripts/install_uv.sh
lock contract openapi/requirements.txt "$@"
lock packages scripts/packages.txt "$@"
lock uv scripts/uv.txt "$@"
