"""The error text for an unknown name, with the nearest known one."""

import difflib
from collections.abc import Iterable


def unknown(kind: str, name: object, known: Iterable[str]) -> str:
    """Returns one sentence: there is no ``kind`` called ``name``, but one with a similar name, or the known ones."""
    known = list(known)
    near = difflib.get_close_matches(str(name), known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
    return f"unknown {kind} {name!r}; {hint}"
