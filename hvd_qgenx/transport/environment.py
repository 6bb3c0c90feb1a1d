"""Names of all environment variables that this package reads or sets.

The one that ``compressors`` reads by itself is ``compressors.kernels.threads.VARIABLE``.
"""

from compressors.kernels.threads import VARIABLE as KERNEL_THREADS

__all__ = [
    "AUTOTUNE",
    "CACHE",
    "CRD",
    "DATA",
    "DYNAMIC_PROCESS_SETS",
    "EAGER_LIMIT",
    "ELASTIC",
    "FUSION_THRESHOLD",
    "GLOO_INTERFACE",
    "HIERARCHICAL_ALLREDUCE",
    "KERNEL_THREADS",
    "LOCAL_SIZES",
    "MPI_RANKS",
    "OMP_THREADS",
    "RANKS",
    "SIZES",
    "STALL_DISABLED",
    "STALL_SHUTDOWN",
    "STALL_WARNING",
    "TORCH_LAUNCH",
    "TORCH_LOCAL_SIZE",
    "TORCH_RANK",
    "TORCH_SIZE",
    "TUNED_ALLREDUCE",
    "TUNED_RULES",
    "YIELD_WHEN_IDLE",
]

DATA = "HVD_QGENX_DATA"
"""Folder of data sets."""
CRD = "HVD_QGENX_CRD"
"""Files with custom resource definitions of MPIJobs, TrainJobs or their runtimes, with colons between."""
CACHE = "XDG_CACHE_HOME"
"""Folder of caches."""
OMP_THREADS = "OMP_NUM_THREADS"
"""Threads of torch's operations."""

MPI_RANKS = ("OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK")
"""Number of a process that MPI's launcher has started."""
RANKS = ("OMPI_COMM_WORLD_RANK", "HOROVOD_RANK", "PMI_RANK", "PMIX_RANK")
"""Number of a process that any launcher has started; the first that is set counts, here and below."""
SIZES = ("OMPI_COMM_WORLD_SIZE", "HOROVOD_SIZE", "PMI_SIZE")
"""Number of processes that the launcher has started."""
LOCAL_SIZES = ("OMPI_COMM_WORLD_LOCAL_SIZE", "HOROVOD_LOCAL_SIZE")
"""Number of them on this host."""
TORCH_RANK, TORCH_SIZE, TORCH_LOCAL_SIZE = "RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE"
"""The same of a process that torchrun has started."""
TORCH_LAUNCH = (TORCH_RANK, TORCH_SIZE, "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
"""Variables that are all set in such a process."""
GLOO_INTERFACE = "GLOO_SOCKET_IFNAME"
"""Network interface of torch.distributed's gloo."""
ELASTIC = "HOROVOD_ELASTIC"
"""1: horovodrun restarts ranks that are lost."""

STALL_WARNING = "HOROVOD_STALL_CHECK_TIME_SECONDS"
"""Seconds that a rank may be silent before Horovod warns."""
STALL_SHUTDOWN = "HOROVOD_STALL_SHUTDOWN_TIME_SECONDS"
"""Seconds that a rank may be silent before the job ends; 0: never."""
STALL_DISABLED = "HOROVOD_STALL_CHECK_DISABLE"
FUSION_THRESHOLD = "HOROVOD_FUSION_THRESHOLD"
DYNAMIC_PROCESS_SETS = "HOROVOD_DYNAMIC_PROCESS_SETS"
AUTOTUNE = "HOROVOD_AUTOTUNE"
HIERARCHICAL_ALLREDUCE = "HOROVOD_HIERARCHICAL_ALLREDUCE"

TUNED_RULES = "OMPI_MCA_coll_tuned_use_dynamic_rules"
TUNED_ALLREDUCE = "OMPI_MCA_coll_tuned_allreduce_algorithm"
EAGER_LIMIT = "OMPI_MCA_btl_tcp_eager_limit"
YIELD_WHEN_IDLE = "OMPI_MCA_mpi_yield_when_idle"
