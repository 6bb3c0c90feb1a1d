"""What a measurement was made on."""

import os
import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

FLAGS = ("avx2", "f16c", "fma", "avx512f", "avx512bw", "avx512vbmi", "avx512_bf16", "asimd", "sve")
"""Of processors; those that matter here."""
PACKAGES = ("hvd-qgenx", "torch", "numpy", "numba", "triton")


def describe(versions: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Processor, memory, GPUs and versions, as JSON takes them; nothing that names the machine.

    Args:
        versions: others to list, as ``Transport.versions`` gives them.
    """
    model, flags = _processor()
    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return {
        "processor": model,
        "flags": [flag for flag in FLAGS if flag in flags],
        "cores": cores(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9),
        "gpus": gpus,
        "versions": {"python": platform.python_version(), **_installed(), **(versions or {})},
    }


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def boot() -> str:
    """The same on processes that share a running kernel, and so its cores; empty where unknown."""
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
    """Model and flags, from Linux."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    fields: dict[str, str] = {}
    for line in lines:
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    model = fields.get("model name") or platform.processor() or platform.machine()
    return model, set((fields.get("flags") or fields.get("Features") or "").split())
