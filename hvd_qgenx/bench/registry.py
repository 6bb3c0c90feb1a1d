"""Models and dtypes of the benchmarks by name."""

from collections.abc import Callable

from hvd_qgenx.registry import Registry

MODELS: Registry[Callable[[], tuple[tuple[int, ...], ...]]] = Registry(
    "model", {"resnet18": "hvd_qgenx.bench.workloads:resnet18", "gan": "hvd_qgenx.bench.workloads:gan"}
)
"""Functions that return the shapes of a model's parameters."""
DTYPES = ("float32", "float16", "bfloat16")
"""Torch's names of the dtypes that compressors are timed on."""
