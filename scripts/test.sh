#!/usr/bin/env bash
# Every check, on a clean checkout: installs what it needs into .cache/test and .cache/node. The page's tests need Chromium,
# Firefox, nginx and Caddy, which it installs as packages where it may (Debian, as root); elsewhere the tests of what is missing are skipped.
#
#   scripts/test.sh                 everything, and the delivery of metrics under each other Python on PATH
#   scripts/test.sh --fast          style, and the tests that start no process: for every save
#   scripts/test.sh --long          everything, with as many requests, metrics and interruptions as before a release,
#                                   and what the tests cover, which takes two thirds more time
#   scripts/test.sh --python PATH   what needs no tool of development, under another interpreter
#
# Further arguments go to pytest: scripts/test.sh -k fork
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/find_python.sh
# Compiled once, for all workers and child processes.
unset PYTHONDONTWRITEBYTECODE
export PYTHONPYCACHEPREFIX=$PWD/.cache/bytecode
step() { printf '\n== %s\n' "$*"; }

# Tests under another interpreter: test_under PYTHON TESTS...
test_under() {
  local version environment
  version=$("$1" -c 'import sys; print(".".join(map(str, sys.version_info[:2])))')
  environment=.cache/test-$version
  step "pytest under Python $version"
  PYTHON=$1 scripts/make_environment.sh "$environment" pyproject.toml --editable '.[keyring]' --group test
  "$environment/bin/python" -m pytest --numprocesses 3 --dist loadgroup -m 'not tools' "${@:2}"
}

# What needs no test to run; what fails is shown at the end.
check_statically() {
  step "mypy and pyright"
  mypy
  pyright --pythonpath "$bin/python"
  step "import-linter"
  lint-imports
  step "words"
  python scripts/check_words.py
  step "the page's scripts"
  scripts/check_page.sh
  step "contract lint"
  openapi-spec-validator openapi/tellurio.yaml
  scripts/lint_contract.sh $more_linters
}

if [ "${1:-}" = --python ]; then
  test_under "$2" "${@:3}"
  exit
fi
more_linters=
case " $* " in *" --long "*) more_linters=--spectral ;; esac
fast=
if [ "${1:-}" = --fast ]; then
  fast=yes
  shift
fi

step "install"
bin=$PWD/.cache/test/bin
scripts/make_environment.sh .cache/test pyproject.toml --editable '.[keyring]' --group dev
export PATH=$bin:$PATH

step "ruff"
ruff format --check .
ruff check .

if [ -n "$fast" ]; then
  step "pytest"
  exec python -m pytest --numprocesses 2 -m quick --ignore tests/page --durations 5 "$@"
fi

# What runs with afnio; its programs run in its environment.
scripts/make_environment.sh .cache/afnio pyproject.toml --editable . --group afnio
# What runs with other frameworks, in the same way.
torch=$(grep -ow 'torch==[0-9.]*' pyproject.toml)
scripts/make_environment.sh --first-with-pip "$torch" .cache/integrations pyproject.toml --editable . --group integrations

if ! command -v chromium chromium-browser >/dev/null && command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends chromium fonts-dejavu-core >/dev/null
fi
if ! command -v firefox-esr firefox >/dev/null && command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends firefox-esr >/dev/null
fi
if ! { command -v nginx && command -v caddy; } >/dev/null && command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends nginx-light caddy >/dev/null
fi

step "the generated client is what the contract makes"
# Compiles the tests meanwhile: else each worker does.
python -m pytest --collect-only --quiet >/dev/null &
compiling=$!
scripts/regen.sh --check
wait "$compiling" || python -m pytest --collect-only --quiet

step "every break of the contract is accepted"
scripts/regen.sh --report

# One core waits now and then while tests run.
report=$(mktemp)
trap 'rm -f "$report"' EXIT
check_statically >"$report" 2>&1 &
checks=$!

step "pytest"
# A part of the tests says nothing about what the others cover.
covering=()
if [ "$*" = --long ]; then covering=(--cov --cov-report term:skip-covered); fi
status=0
python -m pytest --numprocesses 3 --dist loadgroup "${covering[@]}" "$@" || status=$?

wait "$checks" || status=$?
cat "$report"

if [ $# = 0 ]; then
  for version in 3.11 3.12 3.13 3.14; do
    other=python$version
    if [ "$version" = "$(python -c 'import sys; print(".".join(map(str, sys.version_info[:2])))')" ]; then
      continue
    elif "$other" -c '' 2>/dev/null; then
      test_under "$other" tests/safeguard tests/delivery tests/unit || status=$?
    else
      step "pytest under Python $version: it is not here"
    fi
  done
fi
exit "$status"
