"""Manifests that tests of TrainJobs are made from."""

import copy
from typing import Any

from hvd_qgenx import trainjob
from hvd_qgenx.mpijob import Job
from tests.mpijob.files import GONE, ROOT, parts

FILES = {"mpi": "jobs/trainjob/mpi.yaml", "torch": "jobs/trainjob/torch.yaml"}
RUNTIME, JOB = 0, 1
"""Places in a pair of manifests."""
JOBS = "spec.template.spec.replicatedJobs"
NODE, LAUNCHER = f"{JOBS}.0", f"{JOBS}.1"
POD = "template.spec.template.spec"
BOX = f"{POD}.containers.0"
COMMAND = ("gan", "--expect-ranks", "3", "--expect-hosts", "3", "--out", "/runs/job")

__all__ = ["BOX", "COMMAND", "FILES", "GONE", "JOB", "JOBS", "LAUNCHER", "NODE", "POD", "ROOT", "RUNTIME"]


def good(launcher: str, namespaced: bool = False, **settings: Any) -> list[dict[str, Any]]:
    """A runtime and a job without faults."""
    return trainjob.manifests(Job(**{"command": COMMAND, "name": "job", **settings}), launcher, namespaced)


def put(document: Any, path: str, value: Any) -> None:
    """Sets a value at a place, or removes it."""
    *way, last = parts(path)
    for part in way:
        document = document[part] if isinstance(document, list) else document.setdefault(part, {})
    if value is GONE:
        del document[last]
    elif isinstance(document, list) and last == len(document):
        document.append(value)
    else:
        document[last] = value


def changed(launcher: str, which: int, path: str, value: Any, **settings: Any) -> list[dict[str, Any]]:
    """A runtime and a job with another value at one place, or without it."""
    documents = copy.deepcopy(good(launcher, **settings))
    put(documents[which], path, value)
    return documents
