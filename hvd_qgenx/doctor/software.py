"""Checks of Python and of the packages that everything needs."""

import platform
import sys
import warnings
from importlib import metadata
from pathlib import Path

import torch

from compressors import kernels
from compressors.plugins import PREFIX, entries, imported, plugin_of
from hvd_qgenx.data.vision import torchvision as import_torchvision
from hvd_qgenx.doctor.finding import ERROR, OK, WARNING, Finding, Place, first_line
from hvd_qgenx.installed import is_installed


def python(_: Place) -> Finding:
    """Checks for distutils, which horovodrun imports and Python 3.12 removed."""
    version = platform.python_version()
    removed = sys.version_info >= (3, 12) and not is_installed("distutils")
    if removed and is_installed("horovod"):
        return Finding(
            "Python",
            ERROR,
            f"{version}: horovodrun imports distutils, which this Python does not have",
            "pip install 'setuptools<81'",
        )
    return Finding("Python", OK, version)


def packages(_: Place) -> Finding:
    """Lists the versions of this project and of numpy, which decide the bits of payloads."""
    installed = {name: metadata.version(name) for name in ("hvd-qgenx", "numpy")}
    return Finding("packages", OK, ", ".join(f"{name} {version}" for name, version in installed.items()))


def plugins(_: Place) -> Finding:
    """Lists the parts of installed plugins, and checks that each can be imported."""
    parts: dict[str, list[str]] = {}
    for entry in entries():
        plugin = plugin_of(entry)
        try:
            imported(plugin, entry.load)
        except ValueError as error:
            text = f"{entry.name} of {entry.group}: {str(error).splitlines()[0]}"
            return Finding("plugins", ERROR, text, f"pip uninstall {plugin.name}")
        kind = entry.group.removeprefix(PREFIX)
        parts.setdefault(f"{plugin.name} {plugin.version}", []).append(f"{kind} {entry.name}")
    return Finding("plugins", OK, "; ".join(f"{name} ({', '.join(own)})" for name, own in parts.items()) or "none")


def torch_build(_: Place) -> Finding:
    """Checks that torch can use the GPUs of this host."""
    built = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built for CPU"
    text = f"{torch.__version__}, {built}"
    if torch.version.cuda and not torch.cuda.is_available():
        return Finding("torch", WARNING, f"{text}, but it finds no GPU", "nvidia-smi")
    if not torch.version.cuda and Path("/proc/driver/nvidia").exists():
        return Finding("torch", WARNING, f"{text}, so it cannot use the GPUs here", "install torch built for CUDA")
    return Finding("torch", OK, text)


def torchvision(_: Place) -> Finding:
    """Checks that torchvision can be imported, with or without matching CUDA operators."""
    mend = "pip install --no-deps torchvision  (the version made for this torch)"
    try:
        found = import_torchvision()
    except Exception as error:
        return Finding("torchvision", ERROR, f"cannot be imported: {first_line(error)}", mend)
    text = str(found.__version__)
    if "+cu" in text and not torch.version.cuda:
        text += ", built for CUDA, but torch for CPU; hvd-qgenx declares its missing operators"
    return Finding("torchvision", OK, text)


def cpu_kernels(_: Place) -> Finding:
    """Checks that compressors on the CPU are compiled."""
    return _kernels("CPU kernels", torch.device("cpu"), "numba")


def gpu_kernels(_: Place) -> Finding:
    """Checks that compressors on GPUs are compiled, if there are GPUs."""
    if not torch.cuda.is_available():
        have = "installed" if is_installed("triton") else "not installed"
        return Finding("GPU kernels", OK, f"not needed without a GPU (triton is {have})")
    return _kernels("GPU kernels", torch.device("cuda"), "triton")


def _kernels(subject: str, device: torch.device, language: str) -> Finding:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        written_in = kernels.implementation(device)
    if written_in == language:
        return Finding(subject, OK, f"compiled by {language} {metadata.version(language)}")
    text = f"{language} cannot be imported, so compression is many times slower"
    return Finding(subject, WARNING, text, f"pip install {language}")
