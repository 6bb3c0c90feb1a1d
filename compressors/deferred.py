"""Modules that are imported when they are first used.

Names and parameters of compressors are asked for where nothing is computed, as by ``--help``; torch alone takes
seconds to import.
"""

from importlib import import_module
from typing import Any


class Deferred:
    """Stands for a module: the first access to an attribute imports it, and attributes are kept from then on."""

    def __init__(self, module: str) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # protocols such as copying, which need no module
            raise AttributeError(name)
        found = getattr(import_module(self._module), name)
        setattr(self, name, found)
        return found
