"""Checks of TrainJobs and their runtimes that need no cluster."""

from collections.abc import Iterable, Mapping
from typing import Any

from hvd_qgenx.mpijob import fields, schema
from hvd_qgenx.mpijob.finding import ERROR, Finding
from hvd_qgenx.mpijob.nodes import Schema
from hvd_qgenx.trainjob import rules, runtime_rules
from hvd_qgenx.trainjob.manifest import API_VERSION, CLUSTER_RUNTIME, KIND, RUNTIMES


def check(
    document: Mapping[str, Any], runtimes: Iterable[Mapping[str, Any]] = (), strict: Schema | None = None
) -> list[Finding]:
    """Returns the faults of a TrainJob or of a runtime.

    Args:
        document: a manifest for which ``is_ours`` holds.
        runtimes: manifests of runtimes; a job is checked together with the one that it names.
        strict: the operator's schema of this kind, made strict by ``schema.strict``; None: the one in this package.
    """
    found = runtime_rules.findings(document) if is_runtime(document) else rules.findings(document, runtimes)
    told = {finding.path for finding in found if finding.kind == ERROR}  # they explain more than the schema
    kind = str(document.get("kind"))
    if kind not in (KIND, *RUNTIMES):
        kind = CLUSTER_RUNTIME if is_runtime(document) else KIND
    deviations = schema.findings(document, strict or schema.strict(fields.read(kind)))
    return found + [finding for finding in deviations if finding.path not in told]


def is_ours(document: Mapping[str, Any]) -> bool:
    """Returns True for a document that is meant to be of these kinds, even if one is misspelt."""
    kinds = [kind.casefold() for kind in (KIND, *RUNTIMES)]
    return str(document.get("kind")).casefold() in kinds or document.get("apiVersion") == API_VERSION


def is_runtime(document: Mapping[str, Any]) -> bool:
    """Returns True for a document that is meant to be a runtime."""
    return "runtime" in str(document.get("kind")).casefold()
