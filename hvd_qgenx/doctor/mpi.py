"""Checks of Horovod and MPI, and that they fit together.

Horovod's MPI is found by importing Horovod and listing the libraries that this process has loaded: paths and versions
given elsewhere may belong to another MPI.
"""

import ctypes
import importlib
import re
import shutil
import subprocess
from importlib import metadata
from pathlib import Path

import torch

from hvd_qgenx.doctor.finding import ERROR, OK, WARNING, Finding, Place, first_line
from hvd_qgenx.installed import WITH_HOROVOD, is_installed

TESTED = "0.28.1"
REBUILD = "make install"
FRAMEWORKS = {"torch": "PyTorch", "tensorflow": "TensorFlow", "mxnet": "MXNet"}


def horovod(place: Place) -> Finding:
    """Checks that Horovod can be imported, and lists what it was built with."""
    if not is_installed("horovod"):
        text = "not installed: one process and torchrun work, horovodrun and hvd_qgenx.torch do not"
        return Finding("Horovod", _if_needed(place), text, f"{WITH_HOROVOD}, or {REBUILD} in a checkout")
    try:
        hvd = importlib.import_module("horovod.torch")
    except Exception as error:
        mend = f"remove ~/.cache/hvd-qgenx/horovod-*, then {REBUILD}"
        return Finding("Horovod", ERROR, f"cannot be imported: {first_line(error)}", mend)
    version = metadata.version("horovod")
    mpi, gloo, nccl = hvd.mpi_built(), hvd.gloo_built(), bool(hvd.nccl_built())
    parts = [*_frameworks(), *(name for name, there in (("MPI", mpi), ("Gloo", gloo), ("NCCL", nccl)) if there)]
    text = f"{version} with {', '.join(parts)}"
    if not mpi:
        text += "; without MPI, payloads travel through Horovod's own collectives, and horovodrun needs --gloo"
        return Finding("Horovod", WARNING, text, REBUILD)
    if torch.cuda.is_available() and not nccl:
        return Finding("Horovod", WARNING, f"{text}; without NCCL, sums on GPUs go through host memory", REBUILD)
    if version != TESTED:
        return Finding("Horovod", WARNING, f"{text}; only {TESTED} has been tested", REBUILD)
    return Finding("Horovod", OK, text)


def mpi4py(place: Place) -> Finding:
    """Checks mpi4py, which carries payloads and must use Horovod's MPI library."""
    mend = "pip install --force-reinstall --no-binary mpi4py mpi4py"
    if not is_installed("mpi4py"):
        level = ERROR if is_installed("horovod") else _if_needed(place)
        return Finding("mpi4py", level, "not installed: Horovod's ranks cannot exchange payloads", "pip install mpi4py")
    try:
        package = importlib.import_module("mpi4py")
        package.rc.initialize = package.rc.finalize = False  # transport.mpi does both
        importlib.import_module("mpi4py.MPI")
    except Exception as error:
        return Finding("mpi4py", ERROR, f"cannot be imported: {first_line(error)}", mend)
    return Finding("mpi4py", OK, metadata.version("mpi4py"))


def mpi_library(place: Place) -> Finding:
    """Checks the MPI library of this process; call it after ``horovod`` and ``mpi4py``, which load it."""
    found = libraries()
    if not found:
        return Finding(
            "MPI library",
            _if_needed(place),
            "none is loaded",
            "apt-get install openmpi-bin libopenmpi-dev, make install",
        )
    if len(found) > 1:
        return Finding(
            "MPI library",
            ERROR,
            f"Horovod and mpi4py use different libraries: {' and '.join(map(str, found))}",
            "pip install --force-reinstall --no-binary mpi4py mpi4py",
        )
    name = library_version(found[0])
    if (major := _open_mpi(name)) is None:
        return Finding("MPI library", WARNING, f"{name}: only Open MPI 4.1 has been tested", REBUILD)
    if major[0] >= 5:
        text = f"{name} is known not to work: it allows no more ranks than cores, and ignores an MPIJob's hosts"
        return Finding("MPI library", ERROR, text, f"install Open MPI 4.1, then {REBUILD}")
    return Finding("MPI library", OK, f"{name}, {found[0]}")


def mpirun(_: Place) -> Finding:
    """Checks that mpirun belongs to the MPI that Horovod was linked with; call it after ``mpi_library``."""
    path = shutil.which("mpirun")
    if path is None:
        missing = ERROR if libraries() else WARNING
        return Finding(
            "mpirun", missing, "not in PATH: horovodrun cannot start ranks over MPI", "apt-get install openmpi-bin"
        )
    output = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=60, check=False).stdout
    said = (output.splitlines() or ["prints no version"])[0]
    ours, linked = _open_mpi(said), [_open_mpi(library_version(library)) for library in libraries()]
    if ours is None:
        return Finding("mpirun", WARNING, f"{path} ({said}) is not Open MPI's", "apt-get install openmpi-bin")
    if linked and linked[0] is not None and linked[0] != ours:
        versions = [".".join(map(str, version)) for version in (ours, linked[0])]
        text = f"{path} is of Open MPI {versions[0]}, but Horovod runs on {versions[1]}"
        return Finding("mpirun", ERROR, text, f"put the mpirun of {versions[1]} first in PATH, or {REBUILD}")
    return Finding("mpirun", OK, f"{path}, {said}")


def libraries() -> list[Path]:
    """Returns the MPI libraries that this process has loaded."""
    maps = Path("/proc/self/maps")
    words = [line.split()[-1] for line in maps.read_text().splitlines()] if maps.exists() else []
    return sorted({Path(word) for word in words if re.search(r"/libmpi(ch)?\.so[.\d]*$", word)})


def library_version(path: Path) -> str:
    """Returns the name and version that an MPI library reports; MPI need not be initialized."""
    text, length = ctypes.create_string_buffer(8192), ctypes.c_int()
    ctypes.CDLL(str(path)).MPI_Get_library_version(text, ctypes.byref(length))
    return text.value.decode(errors="replace").split(",")[0].strip()


def _open_mpi(text: str) -> tuple[int, ...] | None:
    """Returns the version in a text that names Open MPI; None if it names another MPI."""
    found = re.search(r"Open MPI\)? v?(\d+(?:\.\d+)*)", text)
    return tuple(map(int, found[1].split("."))) if found else None


def _if_needed(place: Place) -> str:
    """Returns the severity of missing what only Horovod's ranks need."""
    return ERROR if place.needs_horovod else WARNING


def _frameworks() -> list[str]:
    folder = Path(str(importlib.import_module("horovod").__file__)).parent
    return [name for part, name in FRAMEWORKS.items() if list((folder / part).glob("mpi_lib*.so"))]
