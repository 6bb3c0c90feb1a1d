"""Rules for the names of jobs, from which the names of their pods are made."""

import re
from collections.abc import Iterator

from compressors.naming import shortened, shown
from hvd_qgenx.mpijob.document import Document
from hvd_qgenx.mpijob.finding import Finding

LABEL = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
"""A DNS label by RFC 1035."""
LONGEST = 63


def name_findings(document: Document, endings: dict[str, str]) -> Iterator[Finding]:
    """Yields what is wrong with a job's name.

    Args:
        document: the job's manifest.
        endings: what is appended to the name, by the thing that is called so.
    """
    name, path = document.at("metadata.name", str), "metadata.name"
    if name is None:
        if document.at("metadata.generateName", str) is None:
            yield Finding(path, "must be there")
        return
    if not LABEL.fullmatch(name):
        yield Finding(
            path,
            f"{shown(name)} must consist of lower-case letters, digits and hyphens, from a letter to a letter or digit",
        )
    for thing, ending in endings.items():
        longest = f"{name}{ending}"
        if len(longest) > LONGEST:
            text = f"{thing} would be called {shortened(longest)}, of {len(longest)} characters; {LONGEST} are allowed"
            yield Finding(path, f"{text}, so shorten the name by {len(longest) - LONGEST}")
            return
