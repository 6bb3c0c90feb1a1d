"""What is looked at, in the order in which it is told."""

from hvd_qgenx.doctor import files, machine, mpi, software
from hvd_qgenx.doctor.finding import Check

CHECKS: tuple[Check, ...] = (
    software.python,
    software.packages,
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
"""``mpi_library`` and ``mpirun`` look at what those before them have loaded."""

ALIKE = ("Python", "packages", "torch", "CPU kernels", "GPU kernels", "Horovod", "mpi4py", "MPI library", "mpirun")
"""Of these all ranks need the same."""
NEEDED = ("Horovod", "mpi4py", "MPI library")
"""A rank where one of these is an error cannot meet the others."""
