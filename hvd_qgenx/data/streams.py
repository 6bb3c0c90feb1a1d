"""What a random number of a run is for: the word beside the seed in ``generator(seed, PURPOSE, ...)``."""

from enum import IntEnum


class Purpose(IntEnum):
    """A random number is a function of the seed, its purpose, and what the comment says; so no state needs storing."""

    ORDER = 0
    """Of the images; epoch."""
    LATENTS = 1
    """Rank, move."""
    INTERPOLATION = 2
    """Where the penalty is taken; rank, move."""
    SAMPLES = 3
    """Latents of sample pictures."""
    GENERATOR = 4
    """Weights at the start."""
    DISCRIMINATOR = 5
    """Weights at the start."""
    FLIP = 6
    """Mirrored images; draw."""
    SCORE = 7
    """Latents and labels of scored images; block."""
    NORMALIZATION = 8
    """Latents and labels from which batch norm's statistics are estimated."""
