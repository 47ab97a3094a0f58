#!/usr/bin/env bash
# Installs the uv that scripts/uv.txt pins into .cache/uv, unless it is there already.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/find_python.sh

cmp -s scripts/uv.txt .cache/uv/uv.txt && exit
"$PYTHON" -m venv --clear .cache/uv
.cache/uv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement scripts/uv.txt
cp scripts/uv.txt .cache/uv/
