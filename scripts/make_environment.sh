#!/usr/bin/env bash
# Makes a Python environment, unless the file that names its packages is as it was then:
#
#   scripts/make_environment.sh FOLDER FILE PACKAGES...     PACKAGES as for `uv pip install`
#
# With uv, which takes a tenth of the time of pip.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/find_python.sh

folder=$1 file=$2
cmp -s "$file" "$folder/${file##*/}" && exit
scripts/install_uv.sh
# With pip, for tests that install packages.
.cache/uv/bin/uv venv --quiet --clear --seed --python "$PYTHON" "$folder"
.cache/uv/bin/uv pip install --quiet --python "$folder/bin/python" "${@:3}"
cp "$file" "$folder/"
