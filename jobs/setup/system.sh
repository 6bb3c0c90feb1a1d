#!/usr/bin/env bash
# Sees to the system packages: installs what is missing through apt, or says what to install.
#
#   jobs/setup/system.sh [cluster]
#
# `cluster` adds what the three-host test needs (network namespaces and ssh).
set -euo pipefail

packages=()
command -v mpicxx >/dev/null && command -v mpirun >/dev/null || packages+=(openmpi-bin libopenmpi-dev)
command -v g++ >/dev/null || packages+=(g++)
command -v cc >/dev/null || packages+=(gcc)
python3 -c 'import ensurepip, venv' 2>/dev/null || packages+=(python3-venv)
python3 -c 'import os, sysconfig as s; os.stat(s.get_path("include") + "/Python.h")' 2>/dev/null || packages+=(python3-dev)
command -v ssh >/dev/null || packages+=(openssh-client)
if [ "${1:-}" = cluster ]; then
    command -v ip >/dev/null || packages+=(iproute2)
    [ -x /usr/sbin/sshd ] || packages+=(openssh-server)
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
