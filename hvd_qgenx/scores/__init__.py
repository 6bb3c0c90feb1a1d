"""How good generated images are."""

from abc import ABC, abstractmethod
from collections.abc import Callable

from torch import Tensor

EXTRACTORS = ("auto", "inception", "resnet56", "classifier")


class Scorer(ABC):
    """Scores generated images against real ones."""

    names: tuple[str, ...]
    bias: dict[str, float]

    @abstractmethod
    def score(self, generate: Callable[[range], Tensor]) -> dict[str, float]:
        """The scores of the images that ``generate`` makes. Collective."""
