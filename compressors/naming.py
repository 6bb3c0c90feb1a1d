"""Names and values in error texts: the nearest known name, and no more of a value than a sentence can hold."""

import difflib
import reprlib
from collections.abc import Iterable
from typing import Any

LONGEST = 200
"""Characters of a value that a sentence repeats, at most."""


def unknown(kind: str, name: object, known: Iterable[str]) -> str:
    """Returns one sentence: there is no ``kind`` called ``name``, but one with a similar name, or the known ones."""
    known = list(known)
    near = difflib.get_close_matches(shortened(name) if isinstance(name, str) else shown(name), known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
    return f"unknown {kind} {shown(name)}; {hint}"


def shortened(text: str) -> str:
    """Returns a text whose end is left out if it is longer than ``LONGEST``."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def shown(value: object) -> str:
    """Returns the ``repr`` of a value, however large or deep the value is, in at most ``LONGEST`` characters."""
    return shortened(_SHOWN.repr(value))


class _Shown(reprlib.Repr):
    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxdict, self.maxother = 4, 8, LONGEST
        self.maxlist = self.maxtuple = self.maxset = 16

    def repr_int(self, x: int, level: int) -> str:
        bits: int = x.bit_length()
        return repr(x) if bits < LONGEST else f"a number of {bits} bits"  # Python refuses to write out the longest

    def repr_str(self, x: str, level: int) -> str:
        return repr(x[:LONGEST])


_SHOWN: Any = _Shown()
