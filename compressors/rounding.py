"""The choice between random numbers of ranks that are correlated and such that are not."""

from typing import Any

from compressors.parameters import parameter

CORRELATED, RANDOM = ROUNDINGS = ("correlated", "random")


def rounding_parameter(default: str, choices: tuple[str, ...] = ROUNDINGS) -> Any:
    """Makes the parameter of stochastic rounding on a grid."""
    return parameter(
        default, "Random rounding; if correlated, the errors of ranks cancel in the mean.", choices=choices
    )


class GridRounding:
    """The part of a compressor whose random rounding can be correlated over ranks, by its parameter ``rounding``."""

    rounding: str

    @property
    def correlated(self) -> bool:
        return self.rounding == CORRELATED
