"""Finds another package in the place of ``compressors``, whose name a user's own folder may have."""

from importlib.util import find_spec
from pathlib import Path

NAME = "compressors"


def check() -> None:
    """Raises ImportError if Python finds another ``compressors`` than the one that was installed with this package."""
    own = Path(__file__).resolve().parent.parent / NAME
    found = find_spec(NAME)
    places = [Path(place).resolve() for place in (found and found.submodule_search_locations) or ()]
    if found is None and not own.is_dir():
        raise ImportError(f"hvd_qgenx needs its package {NAME!r}, which is not there; install hvd-qgenx again")
    if own.is_dir() and own not in places:
        where = places[0] if places else found and found.origin
        raise ImportError(
            f"hvd_qgenx needs its own package {NAME!r}, but Python finds another of this name first, {where}; "
            "rename that one, or start Python from another folder"
        )
