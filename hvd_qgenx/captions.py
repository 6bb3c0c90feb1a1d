"""The length of labels in plots and tables."""

import re
import textwrap

LINE = 36
"""Characters of a line."""


def wrapped(label: str) -> str:
    """Breaks a label into lines, also between the parameters of a compressor."""
    return textwrap.fill(re.sub(r",(?=[a-z])", ", ", label), LINE)


def clip(text: str, most: int) -> str:
    """Cuts off what is beyond so many characters."""
    return text if len(text) <= most else f"{text[: most - 1]}…"
