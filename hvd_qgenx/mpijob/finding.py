"""Faults of a manifest."""

from dataclasses import dataclass

from compressors.naming import shortened

ERROR = "error"
"""The severity of a finding with which the operator, or the job, fails."""
WARNING = "warning"
"""The severity of a finding that may be intended."""


@dataclass(frozen=True)
class Finding:
    """A sentence about one field."""

    path: str
    """The field, like ``spec.mpiReplicaSpecs.Worker.replicas``."""
    text: str
    kind: str = ERROR

    def __str__(self) -> str:
        return f"{self.kind}: {shortened(self.path)}: {self.text}"
