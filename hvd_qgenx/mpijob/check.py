"""Checks of an MPIJob that need no cluster."""

from typing import Any

from hvd_qgenx.mpijob import rules, schema
from hvd_qgenx.mpijob.finding import Finding


def check(document: Any, strict: schema.Schema | None = None) -> list[Finding]:
    """Returns the faults of an MPIJob.

    Args:
        document: a parsed YAML document, of any type.
        strict: the operator's schema, made strict by ``schema.strict``; without it unknown fields pass.
    """
    if not isinstance(document, dict):
        text = f"must be a mapping with apiVersion, kind, metadata and spec, not {document!r}"
        return [Finding("the document", text)]
    found = rules.findings(document)
    told = {finding.path for finding in found}  # they explain more than the schema
    return found + [each for each in (schema.findings(document, strict) if strict else ()) if each.path not in told]
