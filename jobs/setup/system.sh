#!/usr/bin/env bash
# Sees to the system packages: installs what is missing through apt, or says what to install.
#
#   jobs/setup/system.sh [PART...]
#
# Parts: `build` (if none is given) is what installing takes, `python` what it takes without Horovod, `run` what jobs take
# of it, `server` what a host takes that others send jobs to and stop them on, `cluster` what the three-host test takes.
# PYTHON is the interpreter, python3 unless given.
set -euo pipefail

python=${PYTHON:-python3}
packages=()
need() { "${@:2}" >/dev/null 2>&1 || packages+=("$1"); }
python_headers() { "$python" -c 'import os, sysconfig as s; os.stat(s.get_path("include") + "/Python.h")'; }

for part in "${@:-build}"; do
    case $part in
        python | build) need "${python##*/}-venv" "$python" -c 'import ensurepip, venv' ;;&
        build)
            need libopenmpi-dev command -v mpicxx
            need g++ command -v g++
            need gcc command -v cc
            need make command -v make
            need "${python##*/}-dev" python_headers
            ;;&
        cluster) need iproute2 command -v ip ;;&
        cluster | server) need openssh-server test -x /usr/sbin/sshd ;;&
        server) need procps command -v pkill ;;&
        build | run | cluster | server)
            need openmpi-bin command -v mpirun
            need openssh-client command -v ssh
            ;;
        python) ;;
        *) echo "Unknown: $part" >&2 && exit 2 ;;
    esac
done
need "${python##*/}" command -v "$python"
if command -v nvcc >/dev/null; then # Triton compiles on the spot
    need gcc command -v cc
    need "${python##*/}-dev" python_headers
fi
[ ${#packages[@]} -gt 0 ] || exit 0

if ! command -v apt-get >/dev/null; then
    echo "Please install first: a C++ compiler, Open MPI 4.1 with its headers, Python 3 with venv and headers, ssh" >&2
    exit 1
fi
if [ "$(id -u)" -eq 0 ]; then
    sudo=
elif sudo -n true 2>/dev/null; then
    sudo="sudo -n"
else
    echo "Please run first: sudo apt-get install ${packages[*]}" >&2
    exit 1
fi
echo "Installing ${packages[*]}"
$sudo apt-get update -qq
DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
