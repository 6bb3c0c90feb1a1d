"""Compressors by name, and the parameters that they have."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from compressors import parameters
from compressors.base import Compressor
from compressors.named import Named
from compressors.naming import shown


class _Sorted(Named[type[Compressor]]):
    def __iter__(self) -> Iterator[str]:
        return iter(sorted(super().__iter__()))


COMPRESSORS = _Sorted("compressor", group="hvd_qgenx.compressors")

C = TypeVar("C", bound=type[Compressor])

Owner = tuple[str, "dataclasses.Field[Any]"]
"""The name of a compressor, and its field for a parameter."""


def register(name: str) -> Callable[[C], C]:
    """Returns a class decorator that registers a compressor under ``name``.

    The class must be a dataclass whose parameters are declared with ``parameters.parameter``.
    """

    def add(cls: C) -> C:
        COMPRESSORS.register(name)(cls)
        cls.name = name
        return cls

    return add


def names() -> list[str]:
    """Returns the names of all compressors, sorted: those that are registered, and those of installed plugins."""
    return list(COMPRESSORS)


def get(name: str) -> type[Compressor]:
    """Returns the compressor class called ``name``.

    Raises:
        ValueError: no such compressor, and the sentence gives the nearest name; or a plugin's is none.
    """
    found = COMPRESSORS[name]
    if not (isinstance(found, type) and issubclass(found, Compressor)):
        raise ValueError(f"the compressor {name!r} of a plugin must be a class derived from compressors.Compressor")
    if "name" not in vars(found):  # an entry point alone names it
        found.name = name
    return found


def make(name: str, *, seed: int = 0, rank: int | None = None, **values: Any) -> Compressor:
    """Makes a new compressor.

    Args:
        name: one of ``names()``.
        seed: of the random stream, with the rank; see ``Compressor``.
        rank: of the process that encodes; default: 0.
        values: the compressor's own parameters.

    Raises:
        ValueError: unknown name, unknown parameter, or a value outside its limits; or a rank alone, where the
            compressor's own parameter may have been meant.

    Examples:
        >>> make("minmax", bits=2, bucket_size=512).payload_bytes(1024)  # 2 bits a coordinate, 8 bytes a bucket
        272
        >>> make("minmax", bits=9)
        Traceback (most recent call last):
        ValueError: minmax: bits must be from 1 to 8, not 9
    """
    cls = get(name)
    known = parameters.names(cls)
    for key in values:
        if key not in known:
            takes = f"it takes {', '.join(known)}" if known else "it takes no parameters"
            raise ValueError(f"{name} has no parameter {shown(key)}; {takes}")
    for key in known:
        if rank is not None and key.endswith("_rank") and key not in values:
            raise ValueError(f"{name}: rank would be that of the process, which for_rank takes; give {key}={rank}")
    compressor = cls(**values)
    return compressor.for_rank(rank or 0, seed)


def compressor_parameters() -> dict[str, list[Owner]]:
    """Returns every parameter of any registered compressor by name, with the compressors that have it."""
    found: dict[str, list[Owner]] = {}
    for name in names():
        for field in parameters.fields(get(name)):
            found.setdefault(field.name, []).append((name, field))
    return found


def kind(owners: list[Owner]) -> type:
    """Returns the type of a parameter: float if it is one for any compressor."""
    kinds = {type(field.default) for _, field in owners}
    return float if float in kinds else kinds.pop()
