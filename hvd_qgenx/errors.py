"""Errors a user can act on."""


class ConfigurationError(ValueError):
    """What was asked for cannot be done; found before any work starts. Exit code 2."""


class TrainingError(RuntimeError):
    """Training cannot go on; all ranks stop with the same sentence. Exit code 1."""


class NonFiniteGradientError(TrainingError):
    """A gradient held Inf or NaN; names every rank and parameter concerned."""
