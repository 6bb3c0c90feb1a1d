"""What is wrong with a manifest."""

from dataclasses import dataclass

ERROR, WARNING = "error", "warning"


@dataclass(frozen=True)
class Finding:
    """One sentence about one place."""

    path: str
    """Like ``spec.mpiReplicaSpecs.Worker.replicas``."""
    text: str
    kind: str = ERROR

    def __str__(self) -> str:
        return f"{self.kind}: {self.path}: {self.text}"
