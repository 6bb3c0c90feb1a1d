"""Replicated jobs of a runtime, in which anything may be missing or of a wrong type."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from hvd_qgenx.mpijob import quantity
from hvd_qgenx.mpijob.document import Document, Place
from hvd_qgenx.trainjob.manifest import ANCESTOR, NODE, TRAINER

JOBS = "spec.template.spec.replicatedJobs"
POD = "template.spec.template.spec"
PASSING = ("emptyDir", "configMap", "secret", "downwardAPI", "projected", "image")
"""Kinds of volumes that end with a pod, or that nobody can write to."""


@dataclass(frozen=True)
class Replicated:
    """A replicated job."""

    path: str
    fields: Document

    @property
    def name(self) -> str | None:
        return self.fields.at("name", str)

    @property
    def step(self) -> str | None:
        """The value of its label ``ANCESTOR``, whose name has dots."""
        found = (self.fields.at("template.metadata.labels", dict) or {}).get(ANCESTOR)
        return found if isinstance(found, str) else None

    @property
    def is_trainer(self) -> bool:
        return self.step == TRAINER

    @property
    def pods(self) -> int:
        """Its number of pods as far as the runtime says."""
        return max(self.fields.at("template.spec.parallelism", int) or 1, 1)

    @property
    def pod(self) -> str:
        """The path of the fields of its pods."""
        return f"{self.path}.{POD}"

    def listed(self, name: str) -> list[Place]:
        """Returns the mappings in a list of its pods' fields, like ``containers``, each with its path."""
        return [(f"{self.path}.{path}", each) for path, each in self.fields.listed(f"{POD}.{name}")]

    @property
    def node(self) -> Place | None:
        """The container that the operator changes."""
        return next((place for place in self.listed("containers") if place[1].get("name") == NODE), None)

    def volume_at(self, folder: str) -> Mapping[str, Any] | None:
        """Returns the volume that a folder of the container ``NODE`` is on; None if it is on none."""
        mounts = Document(self.node[1] if self.node else {}).listed("volumeMounts")
        above = [each for _, each in mounts if _holds(str(each.get("mountPath")), folder)]
        if not above:
            return None
        nearest = max(above, key=lambda each: len(str(each.get("mountPath"))))
        volumes = (each for _, each in self.listed("volumes"))
        return next((each for each in volumes if each.get("name") == nearest.get("name")), None)


def _holds(mount: str, folder: str) -> bool:
    return f"{folder}/".startswith(f"{mount.rstrip('/')}/")


@dataclass(frozen=True)
class Amounts:
    """What a container may use; None: not given, or no amount."""

    cpus: Fraction | None
    gpus: int


def amounts(resources: Document) -> Amounts:
    """Reads the requests of a container, or its limits where it has no requests."""
    found: dict[str, Fraction] = {}
    for which in ("limits", "requests"):
        for name, value in (resources.at(which, dict) or {}).items():
            try:
                found[str(name).lower()] = quantity.parse(value)
            except ValueError:  # a rule tells of it
                continue
    gpus = next((amount for name, amount in found.items() if "gpu" in name), Fraction(0))
    return Amounts(found.get("cpu"), math.ceil(gpus))
