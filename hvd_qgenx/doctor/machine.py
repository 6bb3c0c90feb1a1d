"""Checks of cores, memory, GPUs, ssh, and harmful environment variables."""

import os
import shutil
from collections.abc import Callable, Mapping

import torch

from hvd_qgenx.bench.machine import describe
from hvd_qgenx.doctor.finding import ERROR, OK, WARNING, Finding, Place
from hvd_qgenx.transport.environment import (
    AUTOTUNE,
    EAGER_LIMIT,
    FUSION_THRESHOLD,
    HIERARCHICAL_ALLREDUCE,
    KERNEL_THREADS,
    OMP_THREADS,
    STALL_DISABLED,
    STALL_SHUTDOWN,
    TUNED_ALLREDUCE,
    TUNED_RULES,
)
from hvd_qgenx.transport.quota import process_cores

EAGER_BYTES = 1 << 18
"""See docs/exchange.md."""


def processor(place: Place) -> Finding:
    """Checks cores and memory of this host."""
    here = describe()
    ranks, count = place.local_ranks, process_cores()
    text = f"{here['processor']}, {count} cores, {here['memory_gb']} GB"
    if ranks > count:
        return Finding("processor", WARNING, f"{text}, which {ranks} ranks share", "start fewer ranks on this host")
    return Finding("processor", OK, text)


def gpus(place: Place) -> Finding:
    """Checks that every rank has a GPU of its own, if there are GPUs."""
    names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    if 0 < len(names) < place.local_ranks:
        text = f"{', '.join(names)}, which {place.local_ranks} ranks share"
        return Finding("GPUs", WARNING, text, "start as many ranks on this host as it has GPUs")
    return Finding("GPUs", OK, ", ".join(names) or "none")


def threads(place: Place) -> Finding:
    """Checks that ranks do not ask for more threads than there are cores."""
    asked = {name: os.environ[name] for name in (KERNEL_THREADS, OMP_THREADS) if name in os.environ}
    share = max(1, process_cores() // place.local_ranks)
    for name, value in asked.items():
        if not value.isdecimal() or int(value) < 1:
            return Finding(
                "threads", ERROR, f"{name} is {value!r}, which is not a number of threads", f"export {name}={share}"
            )
        if int(value) > share:
            text = f"{name}={value} on each of {place.local_ranks} ranks, but {process_cores()} cores"
            return Finding("threads", WARNING, text, f"export {name}={share}")
    told = ", ".join(f"{name}={value}" for name, value in asked.items())
    return Finding("threads", OK, told or f"{share} for every rank")


def ssh(_: Place) -> Finding:
    """Looks for ssh, with which horovodrun starts ranks on other hosts."""
    if path := shutil.which("ssh"):
        return Finding("ssh", OK, path)
    return Finding("ssh", WARNING, "not installed: no ranks on other hosts", "apt-get install openssh-client")


def settings(_: Place) -> Finding:
    """Looks for harmful environment variables."""
    found = [name for name, (harms, _) in HARMFUL.items() if name in os.environ and harms(os.environ[name])]
    if not found:
        return Finding("environment", OK, "no harmful setting")
    text = "; ".join(f"{name}={os.environ[name]}: {HARMFUL[name][1]}" for name in found)
    return Finding("environment", WARNING, text, f"unset {' '.join(found)}")


def _on(value: str) -> bool:
    return value.lower() not in ("", "0", "false")


def _below(least: int) -> Callable[[str], bool]:
    return lambda value: not value.isdecimal() or int(value) < least


HARMFUL: Mapping[str, tuple[Callable[[str], bool], str]] = {
    STALL_DISABLED: (_on, "ranks wait forever for one that has died"),
    STALL_SHUTDOWN: (_below(1), "ranks wait forever for one that has died"),
    FUSION_THRESHOLD: (_on, "the order of sums depends on timing, so runs do not repeat bit for bit"),
    AUTOTUNE: (_on, "the order of sums depends on timing, so runs do not repeat bit for bit"),
    HIERARCHICAL_ALLREDUCE: (_on, "hvd-qgenx has its own hierarchical exchange"),
    TUNED_RULES: (lambda value: not _on(value), "sums send up to 1.9 times the bytes"),
    TUNED_ALLREDUCE: (lambda value: value != "4", "sums send up to 1.9 times the bytes"),
    EAGER_LIMIT: (_below(EAGER_BYTES), "payloads wait for their receivers"),
}
"""For each variable, a function that says whether a value is harmful, and the reason."""
