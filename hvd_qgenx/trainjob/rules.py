"""Rules for a TrainJob, alone and with its runtime, that its schema does not contain.

Sources: ``pkg/webhooks`` and ``pkg/runtime/framework/plugins`` of Kubeflow Trainer v2.3.0; trainer issue 4028 for Open
MPI 5.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from compressors.naming import shortened, shown, unknown
from hvd_qgenx.mpijob import names
from hvd_qgenx.mpijob.document import Document
from hvd_qgenx.mpijob.finding import WARNING, Finding
from hvd_qgenx.mpijob.launcher import PROGRAM, Launch
from hvd_qgenx.mpijob.pods import resource_findings
from hvd_qgenx.mpijob.rules import OPEN_MPI_5, OWN_HOSTFILE
from hvd_qgenx.trainjob import torchrun
from hvd_qgenx.trainjob.manifest import (
    API_VERSION,
    CLUSTER_RUNTIME,
    GROUP,
    HOSTFILE,
    KIND,
    NODE,
    RUNTIMES,
)
from hvd_qgenx.trainjob.replicated import PASSING
from hvd_qgenx.trainjob.torchrun import TorchLaunch
from hvd_qgenx.trainjob.training import REFERENCE, Training, joined
from hvd_qgenx.transport.environment import KERNEL_THREADS, OMP_THREADS

TRAINED = "spec.trainer"
COMMAND = f"{TRAINED}.command"
SUFFIX = "-abcde"
"""What Kubernetes appends to the name of a pod."""
MPI_RESERVED = tuple(
    f"OMPI_MCA_{name}"
    for name in ("orte_default_hostfile", "plm_rsh_args", "orte_keep_fqdn_hostnames", "orte_set_default_slots")
)
HOSTFILES = ("--hostfile", "-hostfile", "--machinefile", "-machinefile")
MANAGER = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?/[A-Za-z0-9/_.:~%-]+")

JobRule = Callable[[Document], Iterator[Finding]]
Rule = Callable[[Training], Iterator[Finding]]


def findings(document: Mapping[str, Any], runtimes: Iterable[Mapping[str, Any]]) -> list[Finding]:
    """Returns all faults of a TrainJob by the rules below.

    Args:
        document: the manifest.
        runtimes: those that are known, of which the job may name one.
    """
    job = Document(document)
    problems = [finding for rule in JOB_RULES for finding in rule(job)]
    found = list(runtimes)
    training = joined(document, found)
    if training is None:
        return [*problems, *_name(job, {NODE: job.at(f"{TRAINED}.numNodes", int) or 1}), *_unknown_runtime(job, found)]
    return [*problems, *_name(job, training.pods), *(finding for rule in RULES for finding in rule(training))]


def _unknown_runtime(job: Document, runtimes: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    kind, name = job.at(f"{REFERENCE}.kind", str) or CLUSTER_RUNTIME, job.at(f"{REFERENCE}.name", str)
    known = [str(Document(each).at("metadata.name", str)) for each in runtimes if each.get("kind") == kind]
    if kind not in RUNTIMES or name is None:
        return  # which is told of already
    if runtimes and not known:
        text = f"there is a {runtimes[0].get('kind')} here, and no {kind}; name its kind"
        yield Finding(f"{REFERENCE}.kind", text)
    elif runtimes:
        yield Finding(f"{REFERENCE}.name", unknown(kind, name, known))
    else:
        text = (
            f"the {kind} {shown(name)} is not here, so ranks, images and volumes are not checked; --check its file too"
        )
        yield Finding(REFERENCE, text, WARNING)


def _kind(job: Document) -> Iterator[Finding]:
    for name, wanted in (("apiVersion", API_VERSION), ("kind", KIND)):
        if job.document.get(name) != wanted:
            yield Finding(name, f"must be {wanted}, not {shown(job.document.get(name))}")


def _name(job: Document, pods: Mapping[str, int]) -> Iterator[Finding]:
    """Requires room for the names of pods, of which each replicated job has so many."""
    endings = {f"a pod of {name}": f"-{name}-0-{max(count, 1) - 1}{SUFFIX}" for name, count in pods.items()}
    yield from names.name_findings(job, dict(sorted(endings.items(), key=lambda item: -len(item[1]))))


def _reference(job: Document) -> Iterator[Finding]:
    if job.at(f"{REFERENCE}.name", str) is None:
        yield Finding(f"{REFERENCE}.name", f"must be there, the name of a {CLUSTER_RUNTIME}")
    for name, allowed in (("apiGroup", (GROUP,)), ("kind", RUNTIMES)):
        found = job.at(f"{REFERENCE}.{name}", object)
        if found is not None and found not in allowed:
            yield Finding(f"{REFERENCE}.{name}", f"must be {' or '.join(allowed)}, not {shown(found)}")


def _numbers(job: Document) -> Iterator[Finding]:
    for path in (f"{TRAINED}.numNodes", f"{TRAINED}.numProcPerNode", "spec.activeDeadlineSeconds"):
        found = job.at(path, int)
        if found is not None and found < 1:
            yield Finding(path, f"must be at least 1, it is {shown(found)}")
    yield from resource_findings([(TRAINED, {"resources": job.sub(f"{TRAINED}.resourcesPerNode").document})])


def _patches(job: Document) -> Iterator[Finding]:
    for path, patch in job.listed("spec.runtimePatches"):
        if not MANAGER.fullmatch(str(patch.get("manager"))):
            yield Finding(f"{path}.manager", f"must be of the form domain/name, not {shown(patch.get('manager'))}")


def _patched(training: Training) -> Iterator[Finding]:
    """Requires patches of what is there; the environment of ``node`` is not theirs."""
    known = {str(each.name): each for each in training.runtime.jobs}
    for path, patch in training.job.listed("spec.runtimePatches"):
        for place, each in Document(patch).listed("trainingRuntimeSpec.template.spec.replicatedJobs"):
            name, where = str(each.get("name")), f"{path}.{place}"
            if name not in known:
                yield Finding(f"{where}.name", unknown("replicated job", name, list(known)))
                continue
            containers = [str(own.get("name")) for _, own in known[name].listed("containers")]
            for inner, container in Document(each).listed("template.spec.template.spec.containers"):
                if container.get("name") not in containers:
                    text = unknown("container", str(container.get("name")), containers)
                    yield Finding(f"{where}.{inner}.name", text)
                elif container.get("env") and container.get("name") == NODE:
                    yield Finding(f"{where}.{inner}.env", f"must not be there; give the variables in {TRAINED}.env")


def _policy(training: Training) -> Iterator[Finding]:
    if not (training.runtime.is_mpi or training.runtime.is_torch) and _names(training.words, PROGRAM):
        text = "the runtime has neither mlPolicy.torch nor mlPolicy.mpi, so every pod trains alone"
        yield Finding(REFERENCE, text)


def _trainer(training: Training) -> Iterator[Finding]:
    job, runtime = training.job, training.runtime
    if runtime.is_torch and job.at(TRAINED, dict) is None:
        yield Finding(
            TRAINED, "must be there, or the operator sets none of the variables PET_* and every pod trains alone"
        )
    reserved = torchrun.RESERVED if runtime.is_torch else MPI_RESERVED if runtime.is_mpi else ()
    for path, entry in job.listed(f"{TRAINED}.env"):
        if entry.get("name") in reserved:
            yield Finding(f"{path}.name", f"{entry.get('name')} is the operator's own; leave it out")
    if not runtime.is_mpi:
        return
    nodes = runtime.job(NODE)
    image = job.at(f"{TRAINED}.image", str)
    own = nodes.node[1].get("image") if nodes and nodes.node else None
    if image is not None and image != own:
        text = f"is the launcher's alone; ranks are started in {shown(own)}, the image of the runtime's {NODE}"
        yield Finding(f"{TRAINED}.image", text)
    if job.at(f"{TRAINED}.resourcesPerNode", dict) and not runtime.launcher_is_node:
        text = f"would be the launcher's, not those of nodes; give them to the container {NODE} of the runtime"
        yield Finding(f"{TRAINED}.resourcesPerNode", text)
    if runtime.launcher_is_node and job.at(f"{TRAINED}.numNodes", int) == 1:
        text = "the launcher and one node are two nodes with runLauncherAsNode; set it to 2, or leave that out"
        yield Finding(f"{TRAINED}.numNodes", text, WARNING)


def _size(training: Training) -> str:
    return f"{shown(training.hosts)} nodes with {shown(training.per_node)} ranks each are {shown(training.ranks)} ranks"


def _mpirun(training: Training) -> Iterator[Finding]:
    if not training.runtime.is_mpi or training.container is None:
        return
    try:
        launch = training.mpirun()
    except ValueError as error:
        yield Finding(COMMAND, str(error))
        return
    if launch is None:
        if training.words:
            text = "starts no mpirun, so one process trains alone on the launcher"
            yield Finding(COMMAND, text, *([] if _names(training.words, PROGRAM) else [WARNING]))
        return
    if launch.ranks is not None and launch.ranks != training.ranks:
        yield Finding(COMMAND, f"-np {launch.ranks}, but {_size(training)}")
    yield from _expected(training, launch)
    image = f"{training.container[1].get('image')}"
    if not any(word.partition("=")[0] in HOSTFILES for word in launch.own):
        five = OPEN_MPI_5.search(image) and OWN_HOSTFILE not in training.variables
        text = f"add --hostfile {HOSTFILE}: the operator names it in variables that Open MPI 5 does not read"
        yield Finding(COMMAND, f"{text}, and all ranks would run on the launcher", *([] if five else [WARNING]))
    exported = [after for flag, after in zip(launch.own, launch.own[1:], strict=False) if flag == "-x"]
    for name in (OMP_THREADS, KERNEL_THREADS):
        if name in training.variables and name not in [word.partition("=")[0] for word in exported]:
            yield Finding(COMMAND, f"add -x {name}: ssh passes no variables on, so ranks would not get it", WARNING)


def _torchrun(training: Training) -> Iterator[Finding]:
    if not training.runtime.is_torch or training.container is None or training.job.at(TRAINED, dict) is None:
        return
    try:
        launch = training.torchrun()
    except ValueError as error:
        yield Finding(COMMAND, str(error))
        return
    if launch is None:
        if training.words:
            text = "does not start torchrun, which reads the variables PET_*, so every pod trains alone"
            yield Finding(COMMAND, text, *([] if _names(training.words, PROGRAM) else [WARNING]))
        return
    if launch.alone:
        yield Finding(COMMAND, "--standalone makes every pod train alone; leave it out")
    wanted = {"nnodes": (str(training.hosts), f"1:{training.hosts}"), "nproc_per_node": (str(training.per_node),)}
    for name, value in launch.options.items():
        if value not in wanted.get(name, ()):
            flag = f"--{name.replace('_', '-')}"
            text = f"{flag} {shown(value)} replaces {torchrun.OVERRIDES[name]}, which the operator sets; leave it out"
            yield Finding(COMMAND, text)
    if launch.is_file and launch.script.rpartition("/")[2] == PROGRAM:
        yield Finding(COMMAND, f"torchrun takes {PROGRAM} for a file of Python; add --no-python before it")
    yield from _expected(training, launch)


def _expected(training: Training, launch: Launch | TorchLaunch) -> Iterator[Finding]:
    """Requires ``--expect-ranks``: ranks that do not find each other would train alone, and the job would succeed."""
    if launch.command is None:
        return
    if launch.expected is None:
        text = f"{PROGRAM} does not know how many ranks to expect; add --expect-ranks {training.ranks}"
        yield Finding(COMMAND, f"{text}, or ranks that do not find each other may each train alone", WARNING)
    elif launch.expected != training.ranks:
        yield Finding(COMMAND, f"--expect-ranks {launch.expected}, but {_size(training)}")


def _names(words: Iterable[str], program: str) -> bool:
    return any(word.rpartition("/")[2] == program for word in words)


def _cores(training: Training) -> Iterator[Finding]:
    cpus, ranks = training.amounts.cpus, training.per_node
    path = f"{TRAINED}.numProcPerNode"
    if not (training.runtime.is_mpi or training.runtime.is_torch):
        return
    if training.amounts.gpus and ranks > training.amounts.gpus:
        yield Finding(
            path, f"{shown(ranks)} ranks of a node share {training.amounts.gpus} GPUs; make them as many", WARNING
        )
    if cpus is None:
        return
    if ranks > cpus:
        yield Finding(
            path, f"{shown(ranks)} ranks of a node share {float(cpus):g} cores, and wait for each other", WARNING
        )
    threads = str(training.variables.get(OMP_THREADS, ""))
    if not threads and OMP_THREADS not in training.variables:
        threads = str(max(int(cpus) // max(ranks, 1), 1))
        text = f"add {OMP_THREADS}: {threads}, or every rank has a thread for each core of its host"
        yield Finding(f"{TRAINED}.env", text, WARNING)
    elif threads.isdecimal() and ranks > 1 and int(threads) * ranks > cpus:
        text = f"{OMP_THREADS} {shortened(threads)} in each of {shown(ranks)} ranks is more than {float(cpus):g} cores"
        yield Finding(f"{TRAINED}.env", text, WARNING)


def _memory(training: Training) -> Iterator[Finding]:
    for nodes in training.runtime.ranked if training.per_node > 1 else ():
        mounts = Document(nodes.node[1] if nodes.node else {}).listed("volumeMounts")
        if "/dev/shm" not in [each.get("mountPath") for _, each in mounts]:
            text = f"{shown(training.per_node)} ranks share a /dev/shm of 64 MB in {nodes.name} of the runtime"
            yield Finding(f"{TRAINED}.numProcPerNode", f"{text}; mount an emptyDir with medium: Memory there", WARNING)


def folder_findings(training: Training, out: str | None) -> list[Finding]:
    """Returns what becomes of a run's folder.

    Args:
        training: the job.
        out: the value of ``--out``; None if training names its folder itself.
    """
    if out is None or not out.startswith("/"):
        what = "the run" if out is None else shown(out)
        return [Finding(COMMAND, f"{what} would be lost with its pod; add --out with a folder on a volume")]
    for nodes in training.runtime.ranked:
        volume = nodes.volume_at(out)
        passing = next((name for name in PASSING if volume and name in volume), None)
        if volume is None or passing:
            place = f"on a volume {passing}" if passing else "on no volume"
            text = (
                f"--out {shortened(out)} is {place} of {nodes.name}, and would be lost with its pod; choose a claim's"
            )
            return [Finding(COMMAND, text)]
    return []


JOB_RULES: tuple[JobRule, ...] = (_kind, _reference, _numbers, _patches)
RULES: tuple[Rule, ...] = (_policy, _patched, _trainer, _mpirun, _torchrun, _cores, _memory)
