#!/usr/bin/env bash
# Prints the hosts of a file that can be reached now, as horovodrun --host-discovery-script wants them.
#
#   jobs/hosts/discover.sh [FILE]
#
# FILE (default: $HVD_QGENX_HOSTS, else `hosts` beside this script) has a line for every host, `name` or
# `name slots=2`; what follows a # is left out. A host can be reached if its ssh port (SSH_PORT, 22) answers
# within three seconds.
set -uo pipefail

file=${1:-${HVD_QGENX_HOSTS:-$(dirname "$0")/hosts}}
port=${SSH_PORT:-22}

answers() { timeout 3 bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$1" "$port" 2>/dev/null; }

while read -r host slots || [ -n "$host" ]; do
    if answers "$host"; then
        slots=${slots#slots=}
        echo "$host:${slots:-1}"
    fi
done < <(sed -e 's/#.*//' -e '/^[[:space:]]*$/d' "$file")
