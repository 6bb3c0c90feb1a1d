"""What a user says about a job."""

from dataclasses import dataclass

from hvd_qgenx.transport import environment
from hvd_qgenx.transport.environment import KERNEL_THREADS, OMP_THREADS, STALL_SHUTDOWN, STALL_WARNING

RUNS = "/runs"
"""Where every rank finds the claim of the runs."""
DATA = "/data"
"""Where every rank finds the claim of the data sets."""


@dataclass(frozen=True)
class Job:
    """A command, and on what it is to run. Amounts are Kubernetes' quantities, like 8Gi."""

    command: tuple[str, ...] = ()
    """Words after ``hvd-qgenx``."""
    name: str = "hvd-qgenx"
    namespace: str = ""
    """Empty: whichever kubectl chooses."""
    image: str = "hvd-qgenx:latest"
    workers: int = 3
    """Pods with ranks."""
    slots: int | None = None
    """Ranks of a worker; None: one for each GPU, at least one."""
    gpus: int = 0
    """Of a worker; so are the amounts."""
    cpus: float = 2.0
    memory: str = "4Gi"
    shm: str = "1Gi"
    """Of /dev/shm; part of ``memory``."""
    runs_claim: str = "hvd-qgenx-runs"
    data_claim: str = ""
    """Empty: no data but what the image has."""
    env: tuple[tuple[str, str], ...] = ()
    elastic: tuple[int, int] | None = None
    """Least and most ranks; None: always all."""
    backoff_limit: int = 5
    ttl: int = 86400
    """Seconds that a finished job is kept."""
    deadline: int | None = None
    """Seconds that the job may take, all tries together."""
    stall_seconds: int = 180
    """Horovod ends a job whose ranks have waited so long for one of them."""
    grace_seconds: int = 120
    """Between the request to stop and the end of a pod."""

    @property
    def slots_per_worker(self) -> int:
        return self.slots or max(1, self.gpus)

    @property
    def ranks(self) -> int:
        return self.workers * self.slots_per_worker

    @property
    def variables(self) -> dict[str, str]:
        """Environment of every rank.

        A rank in a container sees all cores of its node, so it is told how many threads are its own.
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
