"""Description of the machine of a measurement."""

import os
import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from hvd_qgenx.transport.quota import process_cores

FLAGS = ("avx2", "f16c", "fma", "avx512f", "avx512bw", "avx512vbmi", "avx512_bf16", "asimd", "sve")
"""Processor flags that matter for the kernels."""
PACKAGES = ("hvd-qgenx", "torch", "numpy", "numba", "triton")


def describe(versions: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Returns processor, memory, GPUs and versions as plain values for JSON; nothing identifies the machine.

    Args:
        versions: further versions to list, as ``Transport.versions`` returns them.
    """
    model, flags = _processor()
    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return {
        "processor": model,
        "flags": [flag for flag in FLAGS if flag in flags],
        "cores": process_cores(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9),
        "gpus": gpus,
        "versions": {"python": platform.python_version(), **_installed(), **(versions or {})},
    }


def boot() -> str:
    """Returns an identifier that is equal on processes of one running system, which share its cores; "" if unknown."""
    path = Path("/proc/sys/kernel/random/boot_id")
    return path.read_text().strip() if path.exists() else ""


def _installed() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _processor() -> tuple[str, set[str]]:
    """Returns the processor's model and flags, from Linux's /proc/cpuinfo."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    fields: dict[str, str] = {}
    for line in lines:
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    model = fields.get("model name") or platform.processor() or platform.machine()
    return model, set((fields.get("flags") or fields.get("Features") or "").split())
