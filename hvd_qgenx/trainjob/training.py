"""A TrainJob with its runtime, as the operator joins them.

Sources: ``pkg/runtime/core`` and ``pkg/runtime/framework/plugins`` of Kubeflow Trainer v2.3.0.
"""

import math
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

from hvd_qgenx.mpijob import launcher
from hvd_qgenx.mpijob.document import Document, Place, words
from hvd_qgenx.mpijob.launcher import Launch
from hvd_qgenx.trainjob import torchrun
from hvd_qgenx.trainjob.manifest import CLUSTER_RUNTIME, LAUNCHER, MPI, NODE, TORCH
from hvd_qgenx.trainjob.replicated import JOBS, Amounts, Replicated, amounts
from hvd_qgenx.trainjob.torchrun import TorchLaunch

REFERENCE = "spec.runtimeRef"
POLICIES = (TORCH, MPI, "jax", "xgboost", "flux")
"""The fields of a runtime's ``mlPolicy`` of which one is given."""


class Runtime(Document):
    """A runtime."""

    @property
    def policies(self) -> list[str]:
        return [name for name in POLICIES if name in (self.at("spec.mlPolicy", dict) or {})]

    @property
    def is_mpi(self) -> bool:
        return MPI in self.policies

    @property
    def is_torch(self) -> bool:
        return TORCH in self.policies

    @cached_property
    def jobs(self) -> list[Replicated]:
        return [Replicated(path, Document(each)) for path, each in self.listed(JOBS)]

    def job(self, name: str) -> Replicated | None:
        """Returns the replicated job of a name."""
        return next((job for job in self.jobs if job.name == name), None)

    @property
    def trainer(self) -> Replicated | None:
        """The replicated job that gets a TrainJob's command."""
        return next((job for job in self.jobs if job.is_trainer), None)

    @property
    def launcher_is_node(self) -> bool:
        return bool(self.at(f"spec.mlPolicy.{MPI}.runLauncherAsNode", bool))

    @property
    def ranked(self) -> list[Replicated]:
        """The replicated jobs on whose pods ranks are started."""
        names = [NODE, *([LAUNCHER] if self.launcher_is_node else [])] if self.is_mpi else []
        found = [job for name in names if (job := self.job(name))]
        return found if self.is_mpi else [self.trainer] if self.trainer else []


class Training:
    """A TrainJob and its runtime."""

    def __init__(self, job: Mapping[str, Any], runtime: Mapping[str, Any]) -> None:
        self.job, self.runtime = Document(job), Runtime(runtime)

    @property
    def hosts(self) -> int:
        """The number of pods that ranks are started on."""
        given = self.job.at("spec.trainer.numNodes", int)
        if not self.runtime.is_mpi:
            return given or self.runtime.at("spec.mlPolicy.numNodes", int) or 1
        nodes = self.runtime.job(NODE)
        found = given or (nodes.pods if nodes else 1)
        if self.runtime.launcher_is_node:
            return (max(found - 1, 1) if given else found) + 1
        return found

    @property
    def pods(self) -> dict[str, int]:
        """The number of pods of every replicated job."""
        found = {str(job.name): job.pods for job in self.runtime.jobs}
        if self.runtime.is_mpi:
            return {**found, NODE: self.hosts - self.runtime.launcher_is_node}
        trainer = self.runtime.trainer
        return {**found, str(trainer.name): self.hosts} if trainer else found

    @property
    def amounts(self) -> Amounts:
        """What one node may use."""
        nodes = self.runtime.ranked
        container = nodes[0].node if nodes else None
        own = amounts(Document(container[1] if container else {}).sub("resources"))
        given = amounts(self.job.sub("spec.trainer.resourcesPerNode"))
        if self.runtime.is_mpi and not self.runtime.launcher_is_node:
            return own
        return Amounts(own.cpus if given.cpus is None else given.cpus, given.gpus or own.gpus)

    @property
    def per_node(self) -> int:
        """The number of ranks of each node."""
        given = self.job.at("spec.trainer.numProcPerNode", int)
        if given is not None:
            return given
        if self.runtime.is_mpi:
            found = self.runtime.at(f"spec.mlPolicy.{MPI}.numProcPerNode", int)
            return max(self.amounts.gpus, 1) if found in (None, 1) else found or 1
        return self.amounts.gpus or max(math.ceil(self.amounts.cpus or 0), 1)

    @property
    def ranks(self) -> int:
        return self.hosts * self.per_node

    @property
    def container(self) -> Place | None:
        """The container that gets the command, with what the TrainJob changes in it."""
        trainer = self.runtime.trainer
        if trainer is None or trainer.node is None:
            return None
        path, own = trainer.node
        changes = self.job.at("spec.trainer", dict) or {}
        replaced = {name: changes[name] for name in ("image", "command", "args") if changes.get(name) is not None}
        return path, {**own, **replaced, "env": [*_list(own.get("env")), *_list(changes.get("env"))]}

    @property
    def words(self) -> list[str]:
        """The command line of that container; empty if the image decides."""
        return words(self.container[1]) if self.container else []

    @property
    def variables(self) -> dict[str, Any]:
        """The environment of that container by name, but for what the operator adds."""
        entries = Document(self.container[1] if self.container else {}).listed("env")
        return {str(entry.get("name")): entry.get("value") for _, entry in entries}

    def launch(self) -> Launch | TorchLaunch | None:
        """Returns the parsed command that starts ranks; None if there is none.

        Raises:
            ValueError: it is malformed.
        """
        return self.mpirun() if self.runtime.is_mpi else self.torchrun()

    def mpirun(self) -> Launch | None:
        """Returns the parsed command of a launcher.

        Raises:
            ValueError: a number of ranks is not a number.
        """
        return launcher.read(self.words)

    def torchrun(self) -> TorchLaunch | None:
        """Returns the parsed command of torchrun.

        Raises:
            ValueError: torchrun would refuse it, or a number of ranks is not a number.
        """
        return torchrun.read(self.words)


def joined(document: Mapping[str, Any], runtimes: Iterable[Mapping[str, Any]]) -> Training | None:
    """Returns a TrainJob with the runtime that it names; None if that is not among these."""
    job = Document(document)
    kind, name = job.at(f"{REFERENCE}.kind", str) or CLUSTER_RUNTIME, job.at(f"{REFERENCE}.name", str)
    alike = (each for each in runtimes if Document(each).at("metadata.name", str) == name and name)
    return next((Training(document, each) for each in alike if each.get("kind") == kind), None)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
