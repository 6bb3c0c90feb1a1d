"""All that can be said about a document without a cluster."""

from typing import Any

from hvd_qgenx.mpijob import rules, schema
from hvd_qgenx.mpijob.finding import Finding


def check(document: Any, strict: schema.Schema | None = None) -> list[Finding]:
    """What is wrong with an MPIJob.

    Args:
        document: as YAML gives it, of any type.
        strict: what ``schema.strict`` made of the operator's schema; without it unknown fields pass.
    """
    if not isinstance(document, dict):
        text = f"must be a mapping with apiVersion, kind, metadata and spec, not {document!r}"
        return [Finding("the document", text)]
    found = rules.findings(document)
    told = {finding.path for finding in found}  # in better words
    return found + [each for each in (schema.findings(document, strict) if strict else ()) if each.path not in told]
