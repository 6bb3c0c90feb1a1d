"""Errors a user can act on."""


class ConfigurationError(ValueError):
    """What was asked for cannot be done; found before any work starts. Exit code 2."""


class TrainingError(RuntimeError):
    """Training cannot go on; all ranks stop with the same sentence. Exit code 1."""


class LocalError(TrainingError):
    """Training cannot go on for a reason that one rank alone has met; the launcher ends the others."""


class NonFiniteGradientError(TrainingError):
    """A gradient held Inf or NaN; names every rank and parameter concerned."""
