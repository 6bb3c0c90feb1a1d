"""All checks, in the order in which they are printed."""

from hvd_qgenx.doctor import files, machine, mpi, software
from hvd_qgenx.doctor.finding import Check

CHECKS: tuple[Check, ...] = (
    software.python,
    software.packages,
    software.plugins,
    software.torch_build,
    software.torchvision,
    software.cpu_kernels,
    software.gpu_kernels,
    mpi.horovod,
    mpi.mpi4py,
    mpi.mpi_library,
    mpi.mpirun,
    machine.processor,
    machine.gpus,
    machine.threads,
    machine.ssh,
    machine.settings,
    files.data_sets,
    files.weights,
    files.runs_folder,
)
"""The order matters: ``mpi_library`` and ``mpirun`` inspect the libraries that earlier checks have loaded."""

ALIKE = (
    *("Python", "packages", "plugins", "torch", "CPU kernels", "GPU kernels"),
    *("Horovod", "mpi4py", "MPI library", "mpirun"),
)
"""Subjects that must be the same on all ranks."""
NEEDED = ("Horovod", "mpi4py", "MPI library")
"""Subjects without which a rank cannot join the others."""
