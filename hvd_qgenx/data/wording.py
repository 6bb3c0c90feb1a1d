"""Numbers and names of things in sentences."""

from collections.abc import Sequence


def counted(count: int, one: str, many: str = "") -> str:
    """Returns a number of things in words, like ``2 images``."""
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"


def enumeration(names: Sequence[str], most: int = 8) -> str:
    """Returns names with commas between, of many the first."""
    rest = len(names) - most
    return f"{', '.join(names[:most])} and {rest:,} more" if rest > 0 else ", ".join(names)
