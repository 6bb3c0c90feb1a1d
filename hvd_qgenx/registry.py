"""Things by name, each imported when it is first asked for."""

from typing import ClassVar, TypeVar

from compressors.named import Named, load
from hvd_qgenx.errors import ConfigurationError

__all__ = ["Registry", "load"]

T = TypeVar("T")


class Registry(Named[T]):
    """Maps names to objects of other modules; listing the names imports none of them.

    >>> optimizers = Registry[type]("optimizer", {"adam": "torch.optim:Adam"})
    >>> list(optimizers)
    ['adam']
    >>> optimizers.register("mine")(int)
    <class 'int'>
    >>> list(optimizers)
    ['adam', 'mine']
    """

    error: ClassVar[type[ValueError]] = ConfigurationError
