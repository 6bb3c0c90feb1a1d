"""Tells, before gloo connects ranks, which host has no address that others can connect to.

Gloo itself tries until its time is up, since an address like 127.0.1.1 leads every host to itself.
"""

import ipaddress
import json
import os
import socket

import psutil
from torch.distributed import Store  # type: ignore[attr-defined]

from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.transport.environment import GLOO_INTERFACE

KEY = "hvd-qgenx/host"


def check_hosts(store: Store, rank: int, size: int) -> None:
    """Compares the hosts of all ranks. Collective.

    Args:
        store: connects the ranks already.
        rank: the number of this one.
        size: the number of ranks.

    Raises:
        ConfigurationError: gloo would use an interface that a host does not have, or an address that leads other
            hosts to themselves. All ranks raise it, for the first rank that has such a fault.
    """
    store.set(f"{KEY}/{rank}", json.dumps([socket.gethostname(), *_faults()]))
    found = [json.loads(store.get(f"{KEY}/{each}")) for each in range(size)]
    several = len({host for host, _, _ in found}) > 1
    fault = next((text for _, missing, loopback in found if (text := missing or (several and loopback))), None)
    if fault:
        store.set(f"{KEY}/{rank}/told", "")
        if rank == 0:  # which may keep the store
            store.wait([f"{KEY}/{each}/told" for each in range(size)])
        raise ConfigurationError(fault)


def _faults() -> tuple[str, str]:
    """Returns what is wrong with this host: always, and if there are others; empty if nothing is."""
    host, interfaces = socket.gethostname(), psutil.net_if_addrs()
    joining = [name for name, addresses in interfaces.items() if not all(_is_local(each.address) for each in addresses)]
    advice = f"set {GLOO_INTERFACE} to the network interface that joins the hosts"
    advice += f"; {host} has {', '.join(joining)}" if joining else ""
    named = [name for name in os.environ.get(GLOO_INTERFACE, "").split(",") if name]
    if missing := next((name for name in named if name not in interfaces), None):
        return f"host {host} has no network interface called {missing}, as {GLOO_INTERFACE} has it; {advice}", ""
    if named:
        local = next((name for name in named if name not in joining), None)
        text = f"{GLOO_INTERFACE} names {local}, by which other hosts cannot connect to host {host}; {advice}"
        return "", text if local else ""
    address = _own_address(host)
    if not _is_local(address):
        return "", ""
    return "", f"the name of host {host} has the address {address} there, to which other hosts cannot connect; {advice}"


def _own_address(host: str) -> str:
    """Returns the address that gloo takes: the first of a name that is this host's, else the loopback's."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        found = []
    for family, kind, protocol, _, place in found:
        with socket.socket(family, kind, protocol) as probe:
            try:
                probe.bind(place)
            except OSError:
                continue
            return str(place[0])
    return "127.0.0.1"


def _is_local(address: str) -> bool:
    """Returns True for an address of the loopback, and for those that are not of the internet protocol."""
    try:
        return ipaddress.ip_address(address.partition("%")[0]).is_loopback
    except ValueError:
        return True
