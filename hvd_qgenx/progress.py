"""Progress bars of work before and beside training."""

import sys
from typing import Any

from tqdm import tqdm


def progress_bar(total: int, title: str | None, unit: str, *, shown: bool = True) -> Any:
    """Returns a progress bar on standard error; it appears after 3 s, and only with a title."""
    terminal = sys.stderr.isatty()
    return tqdm(
        total=total,
        desc=title,
        unit=unit,
        disable=title is None or not shown,
        delay=3,
        leave=False,
        mininterval=0.1 if terminal else 5.0,
        ncols=None if terminal else 110,
        file=sys.stderr,
    )
