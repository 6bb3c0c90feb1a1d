"""Sides of images, and of the feature maps inside the players."""

from typing import NamedTuple

SMALLEST, STEP = 8, 4
"""Players are built for images of this side, and of all larger ones that are multiples of the step."""
INNER = 4
"""Maps are halved while they are larger than this and of an even side."""
FEWEST = 2
"""Halvings at least, which multiples of the step have."""


class Maps(NamedTuple):
    """The innermost feature maps of a player."""

    side: int
    halvings: int
    """How often the images' side is halved."""


def innermost(side: int) -> Maps:
    """Returns the innermost maps for images of this side: 2x2 for 8x8, else of side 4 or of an odd one above 2."""
    halvings = 0
    while halvings < FEWEST or (side > INNER and side % 2 == 0):
        side, halvings = side // 2, halvings + 1
    return Maps(side, halvings)
