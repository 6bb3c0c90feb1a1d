"""Rules for a runtime of Kubeflow Trainer that its schema does not contain.

Sources: ``pkg/webhooks`` and ``pkg/runtime/framework/plugins`` of Kubeflow Trainer v2.3.0, and the webhook of JobSet.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from compressors.naming import shortened, shown, unknown
from hvd_qgenx.mpijob.document import words
from hvd_qgenx.mpijob.finding import WARNING, Finding
from hvd_qgenx.mpijob.pods import resource_findings, volume_findings
from hvd_qgenx.trainjob.manifest import ANCESTOR, API_VERSION, LAUNCHER, MPI, NODE, RUNTIMES, TORCH, TRAINER
from hvd_qgenx.trainjob.replicated import JOBS
from hvd_qgenx.trainjob.training import Runtime

SPEC = "spec.template.spec"
POLICY = "spec.mlPolicy"
WITHOUT_SSHD = re.compile(r"(^|/)(pytorch/pytorch|python|debian|ubuntu|alpine|nvidia/cuda)(:|@|$)")
"""Well-known images that have no ssh server."""
CONTAINERS = {TRAINER: NODE, "dataset-initializer": "dataset-initializer", "model-initializer": "model-initializer"}
"""The container that a replicated job must have, by the value of its label."""

Rule = Callable[[Runtime], Iterator[Finding]]


def findings(document: Mapping[str, Any]) -> list[Finding]:
    """Returns all faults of a runtime by the rules below."""
    runtime = Runtime(document)
    return [finding for rule in RULES for finding in rule(runtime)]


def _kind(runtime: Runtime) -> Iterator[Finding]:
    if runtime.document.get("apiVersion") != API_VERSION:
        yield Finding("apiVersion", f"must be {API_VERSION}, not {shown(runtime.document.get('apiVersion'))}")
    if runtime.document.get("kind") not in RUNTIMES:
        yield Finding("kind", f"must be {' or '.join(RUNTIMES)}, not {shown(runtime.document.get('kind'))}")
    if runtime.at("metadata.name", str) is None:
        yield Finding("metadata.name", "must be there")
    if runtime.document.get("kind") == RUNTIMES[0] and runtime.at("metadata.namespace", str):
        yield Finding("metadata.namespace", f"a {RUNTIMES[0]} has none; leave it out, or make it a {RUNTIMES[1]}")


def _policy(runtime: Runtime) -> Iterator[Finding]:
    found = runtime.policies
    if len(found) > 1:
        yield Finding(POLICY, f"only one of {', '.join(found)} may be given")
    for path in (f"{POLICY}.numNodes", f"{POLICY}.{MPI}.numProcPerNode"):
        number = runtime.at(path, int)
        if number is not None and number < 1:
            yield Finding(path, f"must be at least 1, it is {shown(number)}")
    if runtime.is_mpi and (runtime.at(f"{POLICY}.numNodes", int) or 1) > 1:
        text = "is the number of launchers of a runtime for MPI, and must be 1; a TrainJob's numNodes is that of nodes"
        yield Finding(f"{POLICY}.numNodes", text)


def _trainer(runtime: Runtime) -> Iterator[Finding]:
    found = [job for job in runtime.jobs if job.is_trainer]
    if not found:
        text = f"none has the label {ANCESTOR}: {TRAINER} in template.metadata.labels"
        yield Finding(JOBS, f"{text}, so no pod would run a TrainJob's command")
    for job in found[1:]:
        yield Finding(job.path, f"{shown(found[0].name)} has the label {ANCESTOR}: {TRAINER} too; keep one")
    for job in runtime.jobs:
        wanted = CONTAINERS.get(job.step or "")
        if wanted and wanted not in [each.get("name") for _, each in job.listed("containers")]:
            yield Finding(f"{job.pod}.containers", f"must have a container called {wanted}, for its label {job.step}")
        if wanted and (job.fields.at("replicas", int) or 1) != 1:
            yield Finding(f"{job.path}.replicas", f"must be 1, it is {shown(job.fields.at('replicas', int))}")


def _jobs(runtime: Runtime) -> Iterator[Finding]:
    names = [str(job.name) for job in runtime.jobs]
    for at, job in enumerate(runtime.jobs):
        if not job.listed("containers"):
            yield Finding(f"{job.pod}.containers", "must have a container")
        if names.index(str(job.name)) < at:
            yield Finding(f"{job.path}.name", f"there are two replicated jobs called {shown(job.name)}")
        for path, before in job.fields.listed("dependsOn"):
            if before.get("name") not in names[:at]:
                text = f"{shown(before.get('name'))} is no replicated job above {job.name}, as it must be"
                yield Finding(f"{job.path}.{path}.name", text)
        if job.fields.at("template.spec.completionMode", str) not in (None, "Indexed") and job in runtime.ranked:
            yield Finding(
                f"{job.path}.template.spec.completionMode", "must be Indexed, or pods have no names and numbers"
            )
    for name in runtime.at(f"{SPEC}.successPolicy.targetReplicatedJobs", list) or []:
        if name not in names:
            text = unknown("replicated job", name, names)
            yield Finding(f"{SPEC}.successPolicy.targetReplicatedJobs", text)


def _torch(runtime: Runtime) -> Iterator[Finding]:
    trainer = runtime.trainer
    if runtime.at(f"{POLICY}.{TORCH}.numProcPerNode", object) is not None:
        text = "was removed in v2.2 of the operator; give numProcPerNode in spec.trainer of a TrainJob"
        yield Finding(f"{POLICY}.{TORCH}.numProcPerNode", text)
    if not runtime.is_torch or trainer is None:
        return
    if trainer.name != NODE:
        text = f"must be {NODE}: PET_MASTER_ADDR is the name of the first pod of a replicated job called so"
        yield Finding(f"{trainer.path}.name", text)
    subdomain = runtime.at(f"{SPEC}.network.subdomain", str)
    if subdomain:
        text = f"leave it out: PET_MASTER_ADDR ends with the job's name, not with {shown(subdomain)}"
        yield Finding(f"{SPEC}.network.subdomain", text)


def _mpi(runtime: Runtime) -> Iterator[Finding]:
    if not runtime.is_mpi:
        return
    for name in (NODE, LAUNCHER):
        job = runtime.job(name)
        if job is None:
            yield Finding(JOBS, f"a runtime for MPI must have a replicated job called {name}")
        elif job.node is None and not job.is_trainer:
            yield Finding(f"{job.pod}.containers", f"must have a container called {NODE}, which gets the keys of ssh")
    launcher, trainer = runtime.job(LAUNCHER), runtime.trainer
    if launcher is None:
        return
    if trainer is not None and trainer.name != LAUNCHER:
        text = f"the label {ANCESTOR}: {TRAINER} must be that of {LAUNCHER}, which gets mpirun's command"
        yield Finding(f"{trainer.path}.template.metadata.labels", text)
    waits = [(each.get("name"), each.get("status")) for _, each in launcher.fields.listed("dependsOn")]
    if (NODE, "Ready") not in waits:
        text = f"add name: {NODE}, status: Ready, or attempts fail while nodes are starting"
        yield Finding(f"{launcher.path}.dependsOn", text, WARNING)
    if LAUNCHER not in (runtime.at(f"{SPEC}.successPolicy.targetReplicatedJobs", list) or []):
        text = f"must name {LAUNCHER}: ssh servers never end by themselves, so the job would not either"
        yield Finding(f"{SPEC}.successPolicy.targetReplicatedJobs", text)


def _ssh(runtime: Runtime) -> Iterator[Finding]:
    nodes = runtime.job(NODE)
    if not runtime.is_mpi or nodes is None or nodes.node is None:
        return
    path, container = nodes.node
    image, line = str(container.get("image")), " ".join(words(container))
    if WITHOUT_SSHD.search(image):
        yield Finding(f"{path}.image", f"{shortened(image)} has no ssh server, by which mpirun starts ranks")
    if "sshd" not in line:
        text = "must run sshd" if line else "is not given; the image must run sshd by itself"
        yield Finding(f"{path}.command", text, *([] if line else [WARNING]))
    if "readinessProbe" not in container:
        text = "add one for the port of sshd, or a node counts as ready before it can be reached"
        yield Finding(f"{path}.readinessProbe", text, WARNING)


def _keys(runtime: Runtime) -> Iterator[Finding]:
    """Requires keys that their user can read: they belong to root and to the group of the pod's volumes."""
    if not runtime.is_mpi:
        return
    mount = runtime.at(f"{POLICY}.{MPI}.sshAuthMountPath", str)
    for job in runtime.jobs:
        context = job.fields.sub("template.spec.template.spec.securityContext").document
        own = job.node[1].get("securityContext") if job.node else None
        contexts = [context, own if isinstance(own, dict) else {}]
        if not any(each.get("runAsUser") or each.get("runAsNonRoot") for each in contexts):
            continue
        if context.get("fsGroup") is None:
            text = f"{job.name} does not run as root, and could not read the keys of ssh; set it to the user's group"
            yield Finding(f"{job.pod}.securityContext.fsGroup", text)
        if mount is None or mount.startswith("/root"):
            text = f"{job.name} does not run as root, and cannot read keys there; set it to /home/mpiuser/.ssh"
            place = f"{POLICY}.{MPI}.sshAuthMountPath"
            yield Finding(place, f"{shortened(mount or '/root/.ssh, the default')}: {text}")
            return


def _network(runtime: Runtime) -> Iterator[Finding]:
    for name in ("publishNotReadyAddresses", "enableDNSHostnames"):
        if runtime.at(f"{SPEC}.network.{name}", bool) is False:
            text = "must not be false: pods find each other by name while they start"
            yield Finding(f"{SPEC}.network.{name}", text)
    if runtime.at(f"{SPEC}.ttlSecondsAfterFinished", int) is not None:
        text = "the operator starts a failed job once more after this time; leave it out, and delete the TrainJob"
        yield Finding(f"{SPEC}.ttlSecondsAfterFinished", text, WARNING)


def _containers(runtime: Runtime) -> Iterator[Finding]:
    for job in runtime.jobs:
        containers = [*job.listed("containers"), *job.listed("initContainers")]
        own = [] if not runtime.is_mpi else [("", {"name": name}) for name in ("mpi-ssh-auth", "mpi-hostfile")]
        yield from resource_findings(containers)
        yield from volume_findings(containers, [*job.listed("volumes"), *own], str(job.name))


RULES: tuple[Rule, ...] = (*(_kind, _policy, _trainer, _jobs, _torch, _mpi, _ssh, _keys, _network, _containers),)
