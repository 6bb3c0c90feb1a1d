"""The user's settings of a job."""

from dataclasses import dataclass

from hvd_qgenx.transport import environment
from hvd_qgenx.transport.environment import KERNEL_THREADS, OMP_THREADS, STALL_SHUTDOWN, STALL_WARNING

RUNS = "/runs"
"""Mount point of the volume claim of the runs, on every rank."""
DATA = "/data"
"""Mount point of the volume claim of the data sets, on every rank."""


@dataclass(frozen=True)
class Job:
    """A command and the resources it runs on. Amounts are Kubernetes quantities, like 8Gi."""

    command: tuple[str, ...] = ()
    """Words after ``hvd-qgenx``."""
    name: str = "hvd-qgenx"
    namespace: str = ""
    """Empty: kubectl's current namespace."""
    image: str = "hvd-qgenx:latest"
    workers: int = 3
    """Pods with ranks."""
    slots: int | None = None
    """Ranks on each worker; None: one for each GPU, at least one."""
    gpus: int = 0
    """GPUs of each worker."""
    cpus: float = 2.0
    """Cores of each worker."""
    memory: str = "4Gi"
    """Memory of each worker."""
    shm: str = "1Gi"
    """Size of /dev/shm; part of ``memory``."""
    runs_claim: str = "hvd-qgenx-runs"
    data_claim: str = ""
    """Empty: only the data in the image."""
    env: tuple[tuple[str, str], ...] = ()
    elastic: tuple[int, int] | None = None
    """Smallest and largest number of ranks; None: not elastic."""
    backoff_limit: int = 5
    ttl: int = 86400
    """Seconds for which a finished job is kept."""
    deadline: int | None = None
    """Seconds that the job may take, over all attempts."""
    stall_seconds: int = 180
    """Seconds after which Horovod ends a job whose ranks wait for one of them."""
    grace_seconds: int = 120
    """Seconds between the request to stop and the end of a pod."""

    @property
    def slots_per_worker(self) -> int:
        return self.slots or max(1, self.gpus)

    @property
    def ranks(self) -> int:
        return self.workers * self.slots_per_worker

    @property
    def variables(self) -> dict[str, str]:
        """Returns the environment variables of every rank.

        A rank in a container sees all cores of its node, so its number of threads is set explicitly.
        """
        threads = str(max(1, int(self.cpus) // self.slots_per_worker))
        return {
            OMP_THREADS: threads,
            KERNEL_THREADS: threads,
            STALL_WARNING: str(max(1, self.stall_seconds // 3)),
            STALL_SHUTDOWN: str(self.stall_seconds),
            **({environment.DATA: DATA} if self.data_claim else {}),
            **dict(self.env),
        }
