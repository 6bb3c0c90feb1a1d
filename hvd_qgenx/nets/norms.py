"""Norms of feature maps, by name."""

from torch import nn

NORM_LAYERS = (nn.BatchNorm2d, nn.GroupNorm)

GROUPS = 32
"""Largest number of groups of a group norm. Source: Wu and He, "Group normalization" (ECCV 2018), section 4.1."""


def normalization(norm: str, channels: int) -> nn.Module:
    """Returns one of ``registry.NORMS`` for feature maps (N, channels, H, W), with a gain and a bias for every channel.

    ``group`` makes as many groups as divide the channels, at most 32: up to 32 channels are normalized one by one.
    ``layer`` takes mean and variance over all channels and pixels of an image.
    """
    if norm == "batch":
        return nn.BatchNorm2d(channels)
    groups = next(n for n in range(GROUPS, 0, -1) if channels % n == 0) if norm == "group" else 1
    return nn.GroupNorm(groups, channels)
