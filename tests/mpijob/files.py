"""What tests of manifests share."""

from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
JOBS = ("jobs/mpijob/cpu-demo.yaml", "jobs/mpijob/paper.yaml", "jobs/mpijob/elastic.yaml")
DEMO, _, ELASTIC = JOBS


def container(job: dict[str, Any], role: str) -> dict[str, Any]:
    """The container of a role."""
    found: dict[str, Any] = job["spec"]["mpiReplicaSpecs"][role]["template"]["spec"]["containers"][0]
    return found
