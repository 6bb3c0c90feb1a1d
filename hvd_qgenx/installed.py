"""Packages that a user may do without."""

from importlib.util import find_spec

WITH_HOROVOD = 'pip install "hvd-qgenx[horovod]"'
"""The command that installs Horovod beside this package."""


def is_installed(package: str) -> bool:
    """Tells whether a package is there to be imported; it is not imported, and may be broken."""
    try:
        return find_spec(package) is not None
    except ValueError:  # sys.modules has None for it
        return False
