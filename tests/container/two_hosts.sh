#!/usr/bin/env bash
# Runs a command on x, one of two hosts that reach each other by ssh. Both are containers of the image, in network
# namespaces joined by a cable; keys lie where the MPI operator mounts them, made for this call.
#
#   unshare --mount --net --pid --fork --kill-child --mount-proc --propagation private \
#       tests/container/two_hosts.sh X Y COMMAND...
#
# X and Y are containers, made by `buildah from`. Namespaces, mounts and processes go when the caller's unshare ends.
set -euo pipefail

declare -A container=([x]=$1 [y]=$2) address=([x]=10.78.0.1 [y]=10.78.0.2)
command=("${@:3}")

trap 'kill $(jobs -p) && wait' EXIT # buildah then unmounts what it has mounted
mkdir -p /etc/netns /run/netns
mount -t tmpfs tmpfs /etc/netns
mount -t tmpfs tmpfs /run/netns

keys=/etc/netns/keys
mkdir "$keys"
ssh-keygen -q -t ecdsa -N '' -f "$keys/id_rsa"
cp "$keys/id_rsa.pub" "$keys/authorized_keys"
chmod 644 "$keys"/*

on() {
    ip netns exec "$1" buildah run --hostname "$1" --volume "$keys:/home/mpiuser/.ssh:ro" "${container[$1]}" -- "${@:2}"
}

for host in x y; do
    ip netns add "$host"
    mkdir "/etc/netns/$host"
    printf '%s\n' '127.0.0.1 localhost' "${address[x]} x" "${address[y]} y" >"/etc/netns/$host/hosts"
done
ip link add eth0 netns x type veth peer name eth0 netns y
for host in x y; do
    ip -netns "$host" address add "${address[$host]}/24" dev eth0
    ip -netns "$host" link set dev lo up
    ip -netns "$host" link set dev eth0 up
    on "$host" /usr/sbin/sshd -De -f /home/mpiuser/.sshd_config &
done

for host in x y; do
    ip netns exec x timeout 60 bash -c "until (: </dev/tcp/${address[$host]}/2222) 2>/dev/null; do sleep 0.1; done"
done
on x "${command[@]}"
