#!/usr/bin/env bash
# Installs Horovod with PyTorch and MPI, and with NCCL where torch and its CUDA toolkit are there, into a Python
# environment that already holds torch.
#
#   jobs/setup/horovod.sh PYTHON
#
# The wheel is built from the released source once for every lock, torch and MPI and kept in
# ${XDG_CACHE_HOME:-~/.cache}/hvd-qgenx, so a second environment installs it in a second.
set -euo pipefail

python=$1
lock=$(cd "$(dirname "$0")/lock" && pwd)
pip=("$python" -m pip --quiet --disable-pip-version-check)

tag=$("$python" -c 'import sys; print("cp%d%d" % sys.version_info[:2])')
torch=$("$python" -c 'import torch; print(torch.__version__)')
cuda=$("$python" -c 'import torch; from torch.utils.cpp_extension import CUDA_HOME; print(torch.version.cuda and CUDA_HOME or "")')
mpi=$(mpirun --version | sed -n '1s/.*) //p')
locked=$(cat "$lock/build.lock" "$lock/horovod.lock" | sha256sum | cut -c1-8)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/hvd-qgenx/horovod-$locked-torch-$torch-mpi-$mpi-$tag${cuda:+-nccl}

if ! compgen -G "$cache/horovod-*.whl" >/dev/null; then
    echo "Building Horovod for torch $torch and Open MPI $mpi${cuda:+ with NCCL} (a few minutes, once)"
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    "${pip[@]}" install --target "$work/tools" --no-deps --require-hashes --only-binary :all: -r "$lock/build.lock"

    # Horovod asks for C++14 but torch's headers need C++17; the last -std on the line wins.
    # From version 13 on g++ wants <cstdint> named, which Horovod leaves out.
    compiler=${CXX:-g++}
    printf '#!/bin/sh\nexec %s "$@" -std=c++17 -include cstdint\n' "$compiler" >"$work/c++17"
    chmod +x "$work/c++17"

    nccl=()
    if [ -n "$cuda" ]; then
        # The NCCL that torch loads, for one process must not hold two; its package has no name to link with.
        home=$("$python" -c 'import nvidia.nccl; print(*nvidia.nccl.__path__)')
        ln -s "$home/lib/libnccl.so.2" "$work/libnccl.so"
        nccl=(HOROVOD_GPU_OPERATIONS=NCCL HOROVOD_NCCL_LINK=SHARED "HOROVOD_CUDA_HOME=$cuda"
            "HOROVOD_NCCL_INCLUDE=$home/include" "HOROVOD_NCCL_LIB=$work"
            "NVCC_APPEND_FLAGS=-std=c++17 -ccbin $compiler") # its output does not stand the other's -include
    fi

    # CMAKE_POLICY_VERSION_MINIMUM lets CMake 4 configure the bundled gloo. MAKEFLAGS of an outer
    # make would reach the inner build.
    env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL \
        PATH="$work/tools/bin:$(cd "$(dirname "$python")" && pwd):$PATH" PYTHONPATH="$work/tools" \
        CXX="$work/c++17" CMAKE_POLICY_VERSION_MINIMUM=3.5 \
        HOROVOD_WITH_MPI=1 HOROVOD_WITH_PYTORCH=1 HOROVOD_WITHOUT_TENSORFLOW=1 HOROVOD_WITHOUT_MXNET=1 "${nccl[@]}" \
        "$python" -m pip wheel --no-cache-dir --no-deps --no-build-isolation --no-binary horovod \
        --require-hashes --wheel-dir "$work/wheels" -r "$lock/horovod.lock" >"$work/log" 2>&1 ||
        { tail -n 60 "$work/log"; echo "Horovod did not build; the end of its log is above." >&2; exit 1; }

    mkdir -p "$cache"
    mv "$work"/wheels/*.whl "$cache/"
fi

"${pip[@]}" install --no-deps "$cache"/*.whl
"$python" -c "import horovod.torch as hvd; assert hvd.mpi_built(); assert hvd.nccl_built() or not '$cuda'"
