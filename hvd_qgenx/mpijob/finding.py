"""Faults of a manifest."""

from dataclasses import dataclass

from compressors.naming import shortened

ERROR, WARNING = "error", "warning"


@dataclass(frozen=True)
class Finding:
    """A sentence about one field."""

    path: str
    """The field, like ``spec.mpiReplicaSpecs.Worker.replicas``."""
    text: str
    kind: str = ERROR

    def __str__(self) -> str:
        return f"{self.kind}: {shortened(self.path)}: {self.text}"
