"""Templates of pods with ranks, which every kind of job shares."""

from typing import Any

from hvd_qgenx.mpijob import launcher
from hvd_qgenx.mpijob.job import DATA, RUNS, Job

USER = 1000
HOME = "/home/mpiuser"
SSH_KEYS = f"{HOME}/.ssh"
SSH_PORT = 2222
"""Port of the image's ssh server."""

RANK = f"^[^ ]*python[^ ]* [^ ]*/{launcher.PROGRAM} "
"""Matches the command lines of ranks, not of the shells that started them."""
MARK = "/tmp/stopping"
STOP = (
    f"mkdir {MARK} 2>/dev/null && pkill -TERM -f '{RANK}'; "
    f"while pgrep -f '{RANK}' >/dev/null; do sleep 1; done; rmdir {MARK} 2>/dev/null"
)
"""Signals a pod's ranks, once, to write a checkpoint and stop together, and waits until they have stopped."""


def pod(job: Job, container: dict[str, Any], volumes: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """Returns the fields of a pod without root's rights."""
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": job.grace_seconds,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        **({"volumes": volumes} if volumes else {}),
    }


def launcher_rights() -> dict[str, Any]:
    """Returns the fields of a container that starts ranks on other pods: few rights and little of a node."""
    return {
        "securityContext": _least_rights(),
        "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"cpu": "1", "memory": "1Gi"}},
    }


def ranks_rights(job: Job) -> dict[str, Any]:
    """Returns the fields of a container with ranks: few rights, resources, and the places of volumes."""
    return {
        "securityContext": _least_rights(),
        "resources": {"requests": _amounts(job), "limits": _amounts(job)},
        "volumeMounts": [
            {"name": "shm", "mountPath": "/dev/shm"},
            {"name": "runs", "mountPath": RUNS},
            *([{"name": "data", "mountPath": DATA, "readOnly": True}] if job.data_claim else []),
        ],
    }


def ssh_server() -> dict[str, Any]:
    """Returns the fields of a container that waits for ranks to be started by ssh."""
    return {
        "command": ["/usr/sbin/sshd", "-De", "-f", f"{HOME}/.sshd_config"],
        "ports": [{"name": "ssh", "containerPort": SSH_PORT}],
        "readinessProbe": {"tcpSocket": {"port": SSH_PORT}, "periodSeconds": 5},
    }


def before_the_end(*command: str) -> dict[str, Any]:
    """Returns a hook that runs before a container is asked to stop."""
    return {"preStop": {"exec": {"command": list(command)}}}


def environment(job: Job) -> list[dict[str, str]]:
    """Returns the variables of every rank."""
    return [{"name": name, "value": launcher.escaped(value)} for name, value in job.variables.items()]


def volumes(job: Job) -> list[dict[str, Any]]:
    """Returns the volumes of a pod with ranks: shared memory, runs, and data sets."""
    return [
        {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": job.shm}},
        {"name": "runs", "persistentVolumeClaim": {"claimName": job.runs_claim}},
        *(
            [{"name": "data", "persistentVolumeClaim": {"claimName": job.data_claim, "readOnly": True}}]
            if job.data_claim
            else []
        ),
    ]


def _amounts(job: Job) -> dict[str, Any]:
    gpus = {"nvidia.com/gpu": job.gpus} if job.gpus else {}
    return {"cpu": f"{job.cpus:g}", "memory": job.memory, **gpus}


def _least_rights() -> dict[str, Any]:
    return {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
