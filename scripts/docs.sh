#!/usr/bin/env bash
# Builds the documentation into .cache/docs/html; any warning is an error.
# Installs what it needs into .cache/test, the environment of scripts/test.sh. Arguments go to Sphinx.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

environment=.cache/test
if ! "$environment/bin/python" -c 'import afnio_tellurio, furo, myst_parser' 2>/dev/null; then
  scripts/make_environment.sh "$environment" pyproject.toml --editable '.[keyring]' --group dev
fi
# From scratch: Sphinx does not notice every change of a docstring.
"$environment/bin/python" -m sphinx --quiet --fail-on-warning --keep-going --fresh-env --write-all \
  --builder html --doctree-dir .cache/docs/doctrees "$@" docs .cache/docs/html
echo "The documentation is in .cache/docs/html/index.html"
