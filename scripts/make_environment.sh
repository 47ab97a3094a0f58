#!/usr/bin/env bash
# Makes a Python environment, unless the file that names its packages is as it was then:
#
#   scripts/make_environment.sh [--first-with-pip PACKAGE] FOLDER FILE PACKAGES...     PACKAGES as for `uv pip install`
#
# With uv, which takes a tenth of the time of pip. uv keeps what is installed and satisfies the pins. So a PACKAGE that pip
# installs first may be a smaller build that pip is configured to find: one of torch without CUDA is a tenth of its size.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/find_python.sh

first=
if [ "$1" = --first-with-pip ]; then
  first=$2
  shift 2
fi
folder=$1 file=$2
cmp -s "$file" "$folder/${file##*/}" && exit
scripts/install_uv.sh
# With pip, for tests that install packages.
.cache/uv/bin/uv venv --quiet --clear --seed --python "$PYTHON" "$folder"
if [ -n "$first" ]; then
  "$folder/bin/python" -m pip install --quiet --disable-pip-version-check "$first"
fi
.cache/uv/bin/uv pip install --quiet --python "$folder/bin/python" "${@:3}"
cp "$file" "$folder/"
