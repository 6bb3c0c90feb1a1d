"""Checks of an MPIJob that need no cluster."""

from collections.abc import Mapping
from typing import Any

from compressors.naming import shown
from hvd_qgenx.mpijob import fields, rules, schema
from hvd_qgenx.mpijob.finding import ERROR, Finding
from hvd_qgenx.mpijob.manifest import API_VERSION, KIND
from hvd_qgenx.mpijob.nodes import Schema


def check(document: Any, strict: Schema | None = None) -> list[Finding]:
    """Returns the faults of an MPIJob.

    Args:
        document: a parsed YAML document, of any type.
        strict: the operator's schema, made strict by ``schema.strict``; None: the one in this package.
    """
    if not isinstance(document, dict):
        text = f"must be a mapping with apiVersion, kind, metadata and spec, not {shown(document)}"
        return [Finding("the document", text)]
    found = rules.findings(document)
    told = {finding.path for finding in found if finding.kind == ERROR}  # they explain more than the schema
    deviations = schema.findings(document, strict or schema.strict(fields.read(KIND)))
    return found + [finding for finding in deviations if finding.path not in told]


def is_job(document: Mapping[str, Any]) -> bool:
    """Returns True for a document that is meant to be an MPIJob, even if its kind or its version is misspelt."""
    kind = str(document.get("kind"))
    return kind.casefold() == KIND.casefold() or document.get("apiVersion") == API_VERSION
