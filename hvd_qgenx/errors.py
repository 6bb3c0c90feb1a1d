"""Errors a user can act on."""

from collections.abc import Iterator
from contextlib import contextmanager


class ConfigurationError(ValueError):
    """The request cannot be carried out, as found before any work starts. Exit code 2."""


class TrainingError(RuntimeError):
    """Training cannot go on; all ranks stop with the same sentence. Exit code 1."""


class LocalError(TrainingError):
    """Training cannot go on for a reason that one rank alone has met; the launcher ends the others."""


class DivergenceError(TrainingError):
    """Training has diverged: a loss, gradients or parameters have left every bound."""

    update: int | None = None
    """The last update that was finished, once a run has ended by this error."""


class LocalDivergenceError(LocalError, DivergenceError):
    """Training has diverged, as one rank alone has found."""


class NonFiniteGradientError(DivergenceError):
    """A gradient held Inf or NaN; names every rank and parameter concerned."""


@contextmanager
def configuration_errors() -> Iterator[None]:
    """Turns a ValueError, as ``compressors`` raises, into a ConfigurationError with the same sentence."""
    try:
        yield
    except ConfigurationError:
        raise
    except ValueError as error:
        raise ConfigurationError(str(error)) from error


def is_out_of_memory(error: Exception) -> bool:
    """Tells whether an error says that there is no more memory, of the host or of a GPU."""
    allocator = isinstance(error, RuntimeError) and "can't allocate memory" in str(error)  # torch's, on a CPU
    return allocator or isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
