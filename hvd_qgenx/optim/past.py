"""Extrapolation from the past: extra-gradient with one gradient per iteration.

The gradient of the update is used again for the extrapolation, in place of one at the updated point::

    X_{t+1}   = X_t     + update(V_{t+1/2})
    X_{t+3/2} = X_{t+1} + update(V_{t+1/2})

Parameters always sit at the extrapolated point, where the next gradient is to be taken, so these
are used like any torch optimizer.

Source: Popov (1980); Gidel et al., "A variational inequality perspective on GANs" (ICLR 2019).
"""

from collections.abc import Callable

import torch

from hvd_qgenx.optim.rules import AdamRule, Rule, SGDRule, evaluate, in_parts


class PastExtragradient(Rule):
    """Base of the optimizers that extrapolate from the past; the base point X_t is kept in ``state``."""

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Moves from X_{t+1/2} to X_{t+3/2}; the rule advances twice, once for each move."""
        loss = evaluate(closure)
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    state = self.state[parameter]
                    if "base" not in state:
                        state["base"] = parameter.clone()
                    values = {**self.prepare(parameter, group), "base": state["base"]}, self.prepare(parameter, group)
                    for part, gradient, first, second in in_parts(parameter, parameter.grad, *values):
                        part.copy_(first["base"].add_(self.update(part, gradient, first, group)))
                        part.add_(self.update(part, gradient, second, group))
        return loss


class PastExtraSGD(PastExtragradient, SGDRule):
    """Extrapolation from the past with SGD's update; arguments as for ``SGDRule``."""


class PastExtraAdam(PastExtragradient, AdamRule):
    """Extrapolation from the past with Adam's update; arguments as for ``AdamRule``.

    Moments and step count advance at both moves, as in ``ExtraAdam``. Source: Gidel et al.
    (ICLR 2019), algorithm 4 with extrapolation from the past.
    """
