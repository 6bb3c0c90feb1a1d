"""Courses of the step size, as torch's schedulers make them."""

from collections.abc import Sequence

from torch.optim import Optimizer
from torch.optim.lr_scheduler import (
    ConstantLR,
    CosineAnnealingLR,
    LinearLR,
    LRScheduler,
    MultiStepLR,
    OneCycleLR,
    SequentialLR,
)


def constant(optimizer: Optimizer) -> LRScheduler:
    """Keeps the step size as it is."""
    return ConstantLR(optimizer, factor=1.0, total_iters=0)


def multistep(optimizer: Optimizer, milestones: Sequence[int], gamma: float) -> LRScheduler:
    """Multiplies the step size by ``gamma`` after each of these updates."""
    return MultiStepLR(optimizer, list(milestones), gamma)


def cosine(optimizer: Optimizer, updates: int) -> LRScheduler:
    """Follows half a cosine from the step size to 0 at the last update (Loshchilov and Hutter, ICLR 2017)."""
    return CosineAnnealingLR(optimizer, max(1, updates))


def one_cycle(optimizer: Optimizer, updates: int) -> LRScheduler:
    """Rises from a 25th of the step size to it and falls to nearly 0 at the last update (Smith and Topin, 2018)."""
    peaks = [group["lr"] for group in optimizer.param_groups]
    return OneCycleLR(optimizer, peaks, total_steps=updates + 1, cycle_momentum=False)


def with_warm_up(optimizer: Optimizer, course: LRScheduler, updates: int, start: float) -> LRScheduler:
    """Puts a linear rise from a share of the step size before another schedule."""
    if not updates:
        return course
    rise = LinearLR(optimizer, start, total_iters=updates)
    return SequentialLR(optimizer, [rise, course], [updates])
