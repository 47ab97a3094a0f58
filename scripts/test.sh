#!/usr/bin/env bash
# Every check, on a clean checkout: installs what it needs into .cache/test and .cache/node. The page's tests need Chromium,
# which it installs as a package where it may (Debian, as root); elsewhere they are skipped unless there is one.
# Arguments go to pytest: scripts/test.sh -k fork
# --long sends the backend many more requests made from the contract.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/find_python.sh
step() { printf '\n== %s\n' "$*"; }

step "install"
environment=.cache/test
[ -x "$environment/bin/python" ] || "$PYTHON" -m venv "$environment"
bin=$PWD/$environment/bin
"$bin/python" -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
"$bin/python" -m pip install --quiet --disable-pip-version-check --group dev --editable '.[keyring]'
export PATH=$bin:$PATH
if ! command -v chromium chromium-browser >/dev/null && command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends chromium fonts-dejavu-core >/dev/null
fi

step "ruff"
ruff format --check .
ruff check .

step "mypy and pyright"
mypy
pyright --pythonpath "$bin/python"

step "import-linter"
lint-imports

step "the generated client is what the contract makes"
scripts/regen.sh --check

step "contract lint"
openapi-spec-validator openapi/tellurio.yaml
scripts/lint_contract.sh

step "pytest"
# Files, not tests, are shared out: many have something that is made once for all of their tests.
python -m pytest --numprocesses 3 --dist loadfile "$@"
