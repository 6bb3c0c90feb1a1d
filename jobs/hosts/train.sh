#!/usr/bin/env bash
# Trains on hosts that ssh reaches, and goes on with a run that was stopped.
#
#   jobs/hosts/train.sh runs/cifar --preset uq4 --data-dir ~/data
#
# The first word is the run's folder, the others are options of `hvd-qgenx gan`. HVD_QGENX_HOSTS names the file of hosts
# (default: `hosts` beside this script), HVD_QGENX_ENVIRONMENT the one of variables (`environment`). docs/clusters.md
# tells what hosts need.
set -euo pipefail

usage() { sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2 && exit 2; }
fail() { echo "Error: $1" >&2 && exit 2; }
lines() { grep -v -E '^[[:space:]]*(#|$)' "$1" || true; }

here=$(cd "$(dirname "$0")" && pwd)
hosts=${HVD_QGENX_HOSTS:-$here/hosts}
environment=${HVD_QGENX_ENVIRONMENT:-$here/environment}
for file in "$hosts" "$environment"; do
    [ -r "$file" ] || fail "there is no file $file"
done
case ${1:-} in '' | -*) usage ;; esac
run=$1
shift

while IFS='=' read -r name value; do # never evaluated
    [[ $name =~ ^[A-Za-z_][A-Za-z0-9_]*$ ]] || fail "$environment: '$name' is no name of a variable"
    export "$name=$value"
done < <(lines "$environment")

ranks=0
list=()
while read -r host slots _; do
    slots=${slots%%#*}
    slots=${slots#slots=}
    slots=${slots:-1}
    [[ $slots =~ ^[0-9]+$ ]] || fail "$hosts: after $host must stand slots=NUMBER"
    ranks=$((ranks + slots))
    list+=("$host:$slots")
done < <(lines "$hosts")

[ "$ranks" -gt 0 ] || fail "$hosts names no host"

exec horovodrun -np "$ranks" -H "$(IFS=,; echo "${list[*]}")" --disable-cache \
    hvd-qgenx gan --expect-ranks "$ranks" --expect-hosts "${#list[@]}" --out "$run" --continue "$@"
