"""Rules for an MPIJob of the operator, Kubernetes and Horovod that the operator's schema does not contain.

Sources: the operator's ``pkg/apis/kubeflow/validation`` and ``pkg/controller``; mpi-operator issue 842 for Open MPI 5.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from compressors.naming import shortened, shown
from hvd_qgenx.mpijob import launcher, pods
from hvd_qgenx.mpijob.document import Document, Place, words
from hvd_qgenx.mpijob.finding import WARNING, Finding
from hvd_qgenx.mpijob.launcher import Launch
from hvd_qgenx.mpijob.manifest import API_VERSION, KIND
from hvd_qgenx.mpijob.names import name_findings

ROLES = ("Launcher", "Worker")
CHOICES = {
    "launcherCreationPolicy": ("AtStartup", "WaitForWorkersReady"),
    "runPolicy.cleanPodPolicy": ("None", "Running", "All"),
    "mpiReplicaSpecs.Launcher.restartPolicy": ("Never", "OnFailure"),
    "mpiReplicaSpecs.Worker.restartPolicy": ("Never", "OnFailure"),
}
SECONDS = ("backoffLimit", "ttlSecondsAfterFinished", "activeDeadlineSeconds")
OPEN_MPI_5 = re.compile(r"(open-?mpi|ompi)[-_:]?v?5", re.IGNORECASE)
OWN_HOSTFILE = "PRTE_MCA_prte_default_hostfile"

MAIN = "spec.mpiReplicaSpecs.Launcher.template.spec.containers[0]"
"""The container that gets the operator's hostfile."""

Rule = Callable[["Spec"], Iterator[Finding]]


class Spec(Document):
    """An MPIJob in which anything may be missing or of a wrong type."""

    def __init__(self, document: Mapping[str, Any], launch: Launch | None = None) -> None:
        """
        Args:
            document: the manifest.
            launch: the parsed command of its launcher; None if unknown.
        """
        super().__init__(document)
        self.launch = launch

    def replicas(self, role: str) -> int | None:
        default = 1 if role == "Launcher" else None
        found = self.at(f"spec.mpiReplicaSpecs.{role}.replicas", int)
        return default if found is None else found

    def containers(self, role: str, kind: str = "containers") -> list[Place]:
        """Returns the paths and the containers of a role."""
        return self.listed(f"spec.mpiReplicaSpecs.{role}.template.spec.{kind}")

    @property
    def hosts(self) -> int | None:
        """The number of pods that ranks are started on."""
        workers = self.replicas("Worker")
        return None if workers is None else workers + bool(self.at("spec.runLauncherAsWorker", bool))

    @property
    def slots(self) -> int:
        found = self.at("spec.slotsPerWorker", int)
        return 1 if found is None else found


def launch(document: Mapping[str, Any]) -> Launch | None:
    """Returns the parsed command of an MPIJob's launcher; None if it is of an unknown kind.

    Raises:
        ValueError: a number of ranks is not a number.
    """
    containers = Spec(document).containers("Launcher")
    return launcher.read(words(containers[0][1])) if containers else None


def findings(document: Mapping[str, Any]) -> list[Finding]:
    """Returns all faults of an MPIJob by the rules below."""
    problems, started = [], None
    try:
        started = launch(document)
    except ValueError as error:
        problems = [Finding(MAIN, str(error))]
    spec = Spec(document, started)
    return [*problems, *(finding for rule in RULES for finding in rule(spec))]


def _kind(spec: Spec) -> Iterator[Finding]:
    for name, wanted in (("apiVersion", API_VERSION), ("kind", KIND)):
        found = spec.document.get(name)
        if found != wanted:
            yield Finding(name, f"must be {wanted}, not {shown(found)}")


def _choices(spec: Spec) -> Iterator[Finding]:
    for name, allowed in CHOICES.items():
        found = spec.at(f"spec.{name}", object)
        if found is not None and found not in allowed:
            yield Finding(f"spec.{name}", f"must be one of {', '.join(allowed)}, not {shown(found)}")
    if spec.at("spec.runPolicy.cleanPodPolicy", object) is None:
        text = "workers, and their GPUs, are kept after the end of the job; set it to Running"
        yield Finding("spec.runPolicy.cleanPodPolicy", text, WARNING)


def _numbers(spec: Spec) -> Iterator[Finding]:
    for name in SECONDS:
        found = spec.at(f"spec.runPolicy.{name}", int)
        if found is not None and found < 0:
            yield Finding(f"spec.runPolicy.{name}", f"must not be negative, it is {shown(found)}")
    if spec.slots < 1:
        yield Finding("spec.slotsPerWorker", f"must be at least 1, it is {shown(spec.slots)}")


def _roles(spec: Spec) -> Iterator[Finding]:
    path = "spec.mpiReplicaSpecs"
    found = spec.at(path, dict) or {}
    for role in found:
        if role not in ROLES:
            yield Finding(f"{path}.{role}", f"the operator does not know this role; use {' and '.join(ROLES)}")
    alone = spec.at("spec.runLauncherAsWorker", bool)
    for role in ROLES:
        if role not in found and not (role == "Worker" and alone):
            yield Finding(f"{path}.{role}", "must be there")
        elif role in found and not spec.containers(role):
            yield Finding(f"{path}.{role}.template.spec.containers", "must have a container")
    if spec.replicas("Launcher") != 1:
        yield Finding(f"{path}.Launcher.replicas", f"must be 1, it is {shown(spec.replicas('Launcher'))}")
    if "Worker" in found and _or(spec.replicas("Worker"), 0) < 1:
        workers = spec.at(f"{path}.Worker.replicas", object)
        text = "must be there" if workers is None else f"must be a whole number of at least 1, not {shown(workers)}"
        yield Finding(f"{path}.Worker.replicas", text)


def _name(spec: Spec) -> Iterator[Finding]:
    last = max(_or(spec.replicas("Worker"), 1), 1) - 1
    yield from name_findings(spec, {"the last worker": f"-worker-{last}"})


def _ranks(spec: Spec) -> Iterator[Finding]:
    launch, hosts, slots = spec.launch, spec.hosts, spec.slots
    if launch is None or hosts is None:
        return
    room = hosts * slots
    for name, ranks in (("-np", launch.ranks), ("--max-np", launch.most)):
        if ranks is not None and ranks > room:
            text = (
                f"{name} {ranks} asks for {ranks} ranks, but {shown(hosts)} hosts with {shown(slots)} slots each have "
                f"room for {shown(room)}"
            )
            yield Finding(MAIN, text)
    if launch.most is not None and _or(launch.least, 0) > launch.most:
        yield Finding(MAIN, f"--min-np {launch.least} is more than --max-np {launch.most}")
    if launch.discovers and launch.slots is None:
        yield Finding(MAIN, f"{launcher.DISCOVER} prints no slots; add --slots-per-host {shown(slots)}")


def _expectation(spec: Spec) -> Iterator[Finding]:
    """Requires ``--expect-ranks``: ranks that do not find each other would train alone, and the job would succeed."""
    launch = spec.launch
    if launch is None or launch.command is None:
        return
    if spec.at("spec.mpiImplementation", str) not in (None, "OpenMPI"):
        yield Finding("spec.mpiImplementation", f"must be OpenMPI for {launcher.PROGRAM}")
    if launch.elastic:
        return
    if launch.expected is None:
        text = f"{launcher.PROGRAM} does not know how many ranks to expect; add --expect-ranks {launch.ranks or 'N'}"
        yield Finding(MAIN, f"{text}, or ranks that do not find each other may each train alone", WARNING)
    elif launch.ranks not in (None, launch.expected):
        text = f"--expect-ranks {launch.expected}, but -np {launch.ranks}; make them the same"
        yield Finding(MAIN, text)


def _open_mpi(spec: Spec) -> Iterator[Finding]:
    for path, container in spec.containers("Launcher")[:1]:
        names = [str(entry.get("name")) for _, entry in Document(container).listed("env")]
        five = OPEN_MPI_5.search(str(container.get("image"))) or any(name.startswith("PRTE_MCA_") for name in names)
        if five and OWN_HOSTFILE not in names:
            yield Finding(
                path,
                "this looks like Open MPI 5, which does not read the operator's hostfile and runs all ranks on the "
                f"launcher; use an image with Open MPI 4.1, or set {OWN_HOSTFILE}=/etc/mpi/hostfile, "
                "PRTE_MCA_prte_set_default_slots and PRTE_MCA_plm_ssh_args",
            )


def _user(spec: Spec) -> Iterator[Finding]:
    mount = spec.at("spec.sshAuthMountPath", str)
    for role in ROLES:
        pod = f"spec.mpiReplicaSpecs.{role}.template.spec.securityContext"
        own = [container.get("securityContext") for _, container in spec.containers(role)]
        contexts = [each for each in (spec.at(pod, dict), *own) if isinstance(each, Mapping)]
        if any(each.get("runAsUser") or each.get("runAsNonRoot") for each in contexts) and (
            mount is None or mount.startswith("/root")
        ):
            text = f"{role} does not run as root, and cannot read keys there; set it to /home/mpiuser/.ssh"
            yield Finding("spec.sshAuthMountPath", f"{shortened(mount or '/root/.ssh, the default')}: {text}")
            return


def _resources(spec: Spec) -> Iterator[Finding]:
    for role in ROLES:
        yield from pods.resource_findings(spec.containers(role) + spec.containers(role, "initContainers"))


def _volumes(spec: Spec) -> Iterator[Finding]:
    for role in ROLES:
        volumes = spec.listed(f"spec.mpiReplicaSpecs.{role}.template.spec.volumes")
        containers = spec.containers(role) + spec.containers(role, "initContainers")
        yield from pods.volume_findings(containers, volumes, role)


RULES: tuple[Rule, ...] = (
    *(_kind, _choices, _numbers, _roles, _name, _ranks, _expectation, _open_mpi, _user, _resources, _volumes),
)


def _or(value: Any, otherwise: Any) -> Any:
    return otherwise if value is None else value
