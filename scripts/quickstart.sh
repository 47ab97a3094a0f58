#!/usr/bin/env bash
# From nothing to two tracked runs on this machine: makes .venv, installs, trains, shows.
# Needs Python 3.11 or later and, the first time, a package index. Run again, it adds two runs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/find_python.sh

[ -x .venv/bin/python ] || "$PYTHON" -m venv .venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check --editable ".[examples]"

export TELLURIO_MODE=local # no account and no network, whatever else the environment says
.venv/bin/python examples/digits.py
echo
.venv/bin/afnio-tellurio runs demo/digits
echo
newest=$(.venv/bin/afnio-tellurio runs demo/digits --json | .venv/bin/python -c 'import json, sys; print(json.load(sys.stdin)[0]["name"])')
.venv/bin/afnio-tellurio show "demo/digits/$newest"
