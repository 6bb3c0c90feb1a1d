"""The manifests of a TrainJob and of the runtime that it names; docs/kubernetes.md explains their fields."""

from typing import Any

from hvd_qgenx.mpijob import launcher, templates
from hvd_qgenx.mpijob.job import Job

GROUP = "trainer.kubeflow.org"
API_VERSION = f"{GROUP}/v1alpha1"
KIND = "TrainJob"
"""The kind of a job's manifest."""
CLUSTER_RUNTIME, RUNTIME = "ClusterTrainingRuntime", "TrainingRuntime"
RUNTIMES = (CLUSTER_RUNTIME, RUNTIME)
"""The kinds of a runtime's manifest: for all namespaces, and for one."""

ANCESTOR = f"{GROUP}/trainjob-ancestor-step"
"""The label of the replicated job that gets a TrainJob's command; its value there is ``TRAINER``."""
TRAINER, NODE, LAUNCHER = "trainer", "node", "launcher"
"""Names that the operator looks for: NODE is that of a replicated job, and of the container in all of them."""

HOSTFILE = "/etc/mpi/hostfile"
"""Where the operator puts the names of the nodes, in a launcher's container."""
STOP_FIRST_NODE = ("sh", "-c", f'read -r node slots <{HOSTFILE}; exec ssh "$node" "$0"', templates.STOP)

MPI, TORCH = "mpi", "torch"
LAUNCHERS = (TORCH, MPI)
"""What starts ranks: torchrun on every node, or mpirun on a launcher."""


def manifests(job: Job, launched_by: str, namespaced: bool = False) -> list[dict[str, Any]]:
    """Returns a runtime and a Kubeflow TrainJob v1alpha1 that names it, of the same name, as plain values.

    Args:
        job: the command and its resources.
        launched_by: one of ``LAUNCHERS``.
        namespaced: makes a TrainingRuntime in the job's namespace in place of a ClusterTrainingRuntime.
    """
    kind = RUNTIME if namespaced else CLUSTER_RUNTIME
    if launched_by == MPI:  # Open MPI 5 does not know the operator's variables
        runtime, program = _mpi_runtime(job), launcher.mpirun(job, "--hostfile", HOSTFILE)
    else:  # the operator's variables PET_* tell torchrun the nodes and their ranks
        runtime, program = _torch_runtime(job), ["torchrun", "--no-python"]
    namespace = {"namespace": job.namespace} if job.namespace else {}
    words = [*program, launcher.PROGRAM, *job.command]
    return [
        {
            "apiVersion": API_VERSION,
            "kind": kind,
            "metadata": {"name": job.name, **(namespace if namespaced else {})},
            "spec": runtime,
        },
        {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "metadata": {"name": job.name, **namespace},
            "spec": {
                "runtimeRef": {"apiGroup": GROUP, "kind": kind, "name": job.name},
                "trainer": {
                    "numNodes": job.workers,
                    "numProcPerNode": job.slots_per_worker,
                    "command": words[:1],
                    "args": [launcher.escaped(word) for word in words[1:]],
                    "env": templates.environment(job),
                },
                **({"activeDeadlineSeconds": job.deadline} if job.deadline else {}),
            },
        },
    ]


def _mpi_runtime(job: Job) -> dict[str, Any]:
    nodes = templates.pod(job, _sshd(job), templates.volumes(job))
    return {
        "mlPolicy": {
            "numNodes": 1,  # of launchers
            "mpi": {
                "numProcPerNode": job.slots_per_worker,
                "mpiImplementation": "OpenMPI",
                "sshAuthMountPath": templates.SSH_KEYS,
                "runLauncherAsNode": False,
            },
        },
        "template": {
            "spec": {
                "network": {"publishNotReadyAddresses": True},
                "successPolicy": {"operator": "All", "targetReplicatedJobs": [LAUNCHER]},
                "replicatedJobs": [
                    # A failed container is restarted; every attempt may lose all nodes.
                    _replicated(NODE, nodes, "OnFailure", job.backoff_limit * job.workers),
                    {
                        # Every attempt of the launcher is a pod of its own, whose log stays.
                        **_replicated(
                            LAUNCHER, templates.pod(job, _launcher(job)), "Never", job.backoff_limit, TRAINER
                        ),
                        "dependsOn": [{"name": NODE, "status": "Ready"}],
                    },
                ],
            }
        },
    }


def _torch_runtime(job: Job) -> dict[str, Any]:
    nodes = templates.pod(job, _torch_node(job), templates.volumes(job))
    return {
        "mlPolicy": {"numNodes": job.workers, "torch": {}},
        "template": {
            "spec": {
                "network": {"publishNotReadyAddresses": True},
                # Nodes that have lost one cannot take in another: all begin again.
                "failurePolicy": {"maxRestarts": job.backoff_limit},
                "replicatedJobs": [_replicated(NODE, nodes, "Never", 0, TRAINER)],
            }
        },
    }


def _replicated(name: str, pod: dict[str, Any], restart: str, attempts: int, step: str = "") -> dict[str, Any]:
    """Returns a replicated job of a JobSet.

    Args:
        name: its name.
        pod: the fields of its pods.
        restart: whether their containers are restarted.
        attempts: how often pods may fail.
        step: the value of its label ``ANCESTOR``; empty: none.
    """
    return {
        "name": name,
        "template": {
            **({"metadata": {"labels": {ANCESTOR: step}}} if step else {}),
            "spec": {"backoffLimit": attempts, "template": {"spec": {"restartPolicy": restart, **pod}}},
        },
    }


def _sshd(job: Job) -> dict[str, Any]:
    return {
        "name": NODE,
        "image": job.image,
        **templates.ssh_server(),
        # A pod ends with its sshd, and so do its ranks.
        "lifecycle": templates.before_the_end("sh", "-c", templates.STOP),
        **templates.ranks_rights(job),
    }


def _launcher(job: Job) -> dict[str, Any]:
    return {
        "name": NODE,
        "image": job.image,
        # mpirun alone would give the ranks one second.
        "lifecycle": templates.before_the_end(*STOP_FIRST_NODE),
        **templates.launcher_rights(),
    }


def _torch_node(job: Job) -> dict[str, Any]:
    return {
        "name": NODE,
        "image": job.image,
        # torchrun alone would give the ranks 30 seconds.
        "lifecycle": templates.before_the_end("sh", "-c", templates.STOP),
        **templates.ranks_rights(job),
    }
