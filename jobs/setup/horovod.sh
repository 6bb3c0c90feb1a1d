#!/usr/bin/env bash
# Installs Horovod with PyTorch and MPI into a Python environment that already holds torch.
#
#   jobs/setup/horovod.sh PYTHON
#
# The wheel is built from the released source once for every pair of torch and MPI and kept in
# ${XDG_CACHE_HOME:-~/.cache}/hvd-qgenx, so a second environment installs it in a second.
set -euo pipefail

python=$1
version=0.28.1

torch=$("$python" -c 'import torch; print(torch.__version__)')
tag=$("$python" -c 'import sys; print("cp%d%d" % sys.version_info[:2])')
mpi=$(mpirun --version | sed -n '1s/.*) //p')
cache=${XDG_CACHE_HOME:-$HOME/.cache}/hvd-qgenx/horovod-$version-torch-$torch-mpi-$mpi-$tag

if ! compgen -G "$cache/horovod-*.whl" >/dev/null; then
    echo "Building Horovod $version for torch $torch and Open MPI $mpi (a few minutes, once)"
    "$python" -m pip install --quiet 'setuptools<81' wheel packaging cmake
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT

    # Horovod asks for C++14 but torch's headers need C++17; the last -std on the line wins.
    printf '#!/bin/sh\nexec %s "$@" -std=c++17\n' "${CXX:-g++}" >"$work/c++17"
    chmod +x "$work/c++17"

    # CMAKE_POLICY_VERSION_MINIMUM lets CMake 4 configure the bundled gloo. MAKEFLAGS of an outer
    # make would reach the inner build.
    env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL \
        PATH="$(cd "$(dirname "$python")" && pwd):$PATH" CXX="$work/c++17" CMAKE_POLICY_VERSION_MINIMUM=3.5 \
        HOROVOD_WITH_MPI=1 HOROVOD_WITH_PYTORCH=1 \
        HOROVOD_WITHOUT_TENSORFLOW=1 HOROVOD_WITHOUT_MXNET=1 \
        "$python" -m pip wheel --no-cache-dir --no-deps --no-build-isolation --no-binary horovod \
        --wheel-dir "$work" "horovod==$version" >"$work/log" 2>&1 ||
        { tail -n 60 "$work/log"; echo "Horovod did not build; the end of its log is above." >&2; exit 1; }

    mkdir -p "$cache"
    mv "$work"/horovod-*.whl "$cache/"
fi

"$python" -m pip install --quiet "$cache"/horovod-*.whl
"$python" -c 'import horovod.torch as hvd; assert hvd.mpi_built()'
