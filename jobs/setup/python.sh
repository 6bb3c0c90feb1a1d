#!/usr/bin/env bash
# Installs layers of the lock into a Python environment: those versions, those files, and nothing beside them.
#
#   jobs/setup/python.sh PYTHON LAYER...
#
# A layer is a file of jobs/setup/lock: torch, run or dev. (horovod.sh installs the layers build and horovod, without which
# the others are whole.) With torch comes the layer cpu if pip's settings name a place that has torch for CPU alone,
# otherwise the layer cuda.
set -euo pipefail

python=$1
lock=$(dirname "$0")/lock
pip() { "$python" -m pip --quiet --disable-pip-version-check "$@"; }

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed" >&2; exit 1; }

# A source package would fetch what it needs to be built, unlocked.
install() { pip install --no-deps --require-hashes --only-binary :all: --requirement "$lock/$1.lock"; }

for layer in "${@:2}"; do
    install "$layer"
    if [ "$layer" = torch ]; then
        for_cpu=$(sed -n 's/^torch==\([^ ]*\).*/\1/p' "$lock/cpu.lock")
        offered=$("$python" -m pip --disable-pip-version-check index versions torch)
        if grep -qF "$for_cpu" <<<"$offered"; then install cpu; else install cuda; fi
    fi
done
