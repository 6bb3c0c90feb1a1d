"""The manifest of a job; docs/kubernetes.md explains its fields."""

from typing import Any

from hvd_qgenx.mpijob import launcher, templates
from hvd_qgenx.mpijob.job import Job

API_VERSION = "kubeflow.org/v2beta1"
"""The version of the operator's interface that manifests are written for."""
KIND = "MPIJob"
"""The kind of a job's manifest."""


def manifest(job: Job) -> dict[str, Any]:
    """Returns a Kubeflow MPIJob v2beta1 as plain values."""
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": job.name, **({"namespace": job.namespace} if job.namespace else {})},
        "spec": {
            "slotsPerWorker": job.slots_per_worker,
            "sshAuthMountPath": templates.SSH_KEYS,
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
                "Launcher": {
                    "replicas": 1,
                    "restartPolicy": "Never",
                    "template": {"spec": templates.pod(job, _launcher(job))},
                },
                # A failed worker would never be replaced, so its container is restarted.
                "Worker": {
                    "replicas": job.workers,
                    "restartPolicy": "OnFailure",
                    "template": {"spec": templates.pod(job, _worker(job), templates.volumes(job))},
                },
            },
        },
    }


def _launcher(job: Job) -> dict[str, Any]:
    program, *arguments = launcher.words(job)
    return {
        "name": "launcher",
        "image": job.image,
        "command": [program],
        "args": [launcher.escaped(word) for word in arguments],
        "env": templates.environment(job),
        # mpirun alone would give the ranks one second.
        "lifecycle": templates.before_the_end("ssh", f"{job.name}-worker-0.{job.name}", templates.STOP),
        **templates.launcher_rights(),
    }


def _worker(job: Job) -> dict[str, Any]:
    return {
        "name": "worker",
        "image": job.image,
        **templates.ssh_server(),
        # A pod ends with its sshd, and so do its ranks. An elastic job continues without them.
        **({} if job.elastic else {"lifecycle": templates.before_the_end("sh", "-c", templates.STOP)}),
        **templates.ranks_rights(job),
    }
