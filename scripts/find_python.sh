# Sourced by the other scripts: sets PYTHON to a Python 3.11 or later.
if [ -z "${PYTHON:-}" ]; then
  for candidate in python3 python python3.14 python3.13 python3.12 python3.11; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      PYTHON=$candidate
      break
    fi
  done
fi
if [ -z "${PYTHON:-}" ]; then
  echo "Python 3.11 or later is needed and was not found; install it, or name it: PYTHON=/path/to/python $0" >&2
  exit 1
fi
