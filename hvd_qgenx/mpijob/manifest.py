"""The manifest of a job; docs/kubernetes.md explains its fields."""

from typing import Any

from hvd_qgenx.mpijob import launcher
from hvd_qgenx.mpijob.job import DATA, RUNS, Job

API_VERSION = "kubeflow.org/v2beta1"
"""The version of the operator's interface that manifests are written for."""
KIND = "MPIJob"
"""The kind of a job's manifest."""
USER = 1000
HOME = "/home/mpiuser"
SSH_PORT = 2222
"""Port of the image's ssh server."""

RANK = f"^[^ ]*python[^ ]* [^ ]*/{launcher.PROGRAM} "
"""Matches the command lines of ranks, not of the shells that started them."""
MARK = "/tmp/stopping"
STOP = (
    f"mkdir {MARK} 2>/dev/null && pkill -TERM -f '{RANK}'; "
    f"while pgrep -f '{RANK}' >/dev/null; do sleep 1; done; rmdir {MARK} 2>/dev/null"
)
"""Signals a worker's ranks, once, to write a checkpoint and stop together, and waits until they have stopped."""


def manifest(job: Job) -> dict[str, Any]:
    """Returns a Kubeflow MPIJob v2beta1 as plain values."""
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": job.name, **({"namespace": job.namespace} if job.namespace else {})},
        "spec": {
            "slotsPerWorker": job.slots_per_worker,
            "sshAuthMountPath": f"{HOME}/.ssh",
            "mpiImplementation": "OpenMPI",
            "launcherCreationPolicy": "WaitForWorkersReady",
            "runPolicy": {
                "cleanPodPolicy": "Running",
                "backoffLimit": job.backoff_limit,
                "ttlSecondsAfterFinished": job.ttl,
                **({"activeDeadlineSeconds": job.deadline} if job.deadline else {}),
            },
            "mpiReplicaSpecs": {
                # Every attempt of the launcher is a pod of its own, whose log stays.
                "Launcher": {"replicas": 1, "restartPolicy": "Never", "template": _pod(job, _launcher(job))},
                # A failed worker would never be replaced, so its container is restarted.
                "Worker": {
                    "replicas": job.workers,
                    "restartPolicy": "OnFailure",
                    "template": _pod(job, _worker(job), _volumes(job)),
                },
            },
        },
    }


def _pod(job: Job, container: dict[str, Any], volumes: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    return {
        "spec": {
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
    }


def _launcher(job: Job) -> dict[str, Any]:
    program, *arguments = launcher.words(job)
    return {
        "name": "launcher",
        "image": job.image,
        "command": [program],
        "args": [launcher.escaped(word) for word in arguments],
        "env": [{"name": name, "value": launcher.escaped(value)} for name, value in job.variables.items()],
        # mpirun alone would give the ranks one second.
        "lifecycle": _before_the_end("ssh", f"{job.name}-worker-0.{job.name}", STOP),
        "securityContext": _least_rights(),
        "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"cpu": "1", "memory": "1Gi"}},
    }


def _worker(job: Job) -> dict[str, Any]:
    return {
        "name": "worker",
        "image": job.image,
        "command": ["/usr/sbin/sshd", "-De", "-f", f"{HOME}/.sshd_config"],
        "ports": [{"name": "ssh", "containerPort": SSH_PORT}],
        "readinessProbe": {"tcpSocket": {"port": SSH_PORT}, "periodSeconds": 5},
        # A pod ends with its sshd, and so do its ranks. An elastic job continues without them.
        **({} if job.elastic else {"lifecycle": _before_the_end("sh", "-c", STOP)}),
        "securityContext": _least_rights(),
        "resources": {"requests": _amounts(job), "limits": _amounts(job)},
        "volumeMounts": [
            {"name": "shm", "mountPath": "/dev/shm"},
            {"name": "runs", "mountPath": RUNS},
            *([{"name": "data", "mountPath": DATA, "readOnly": True}] if job.data_claim else []),
        ],
    }


def _before_the_end(*command: str) -> dict[str, Any]:
    return {"preStop": {"exec": {"command": list(command)}}}


def _amounts(job: Job) -> dict[str, Any]:
    gpus = {"nvidia.com/gpu": job.gpus} if job.gpus else {}
    return {"cpu": f"{job.cpus:g}", "memory": job.memory, **gpus}


def _least_rights() -> dict[str, Any]:
    return {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def _volumes(job: Job) -> list[dict[str, Any]]:
    return [
        {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": job.shm}},
        {"name": "runs", "persistentVolumeClaim": {"claimName": job.runs_claim}},
        *(
            [{"name": "data", "persistentVolumeClaim": {"claimName": job.data_claim, "readOnly": True}}]
            if job.data_claim
            else []
        ),
    ]
