"""Optimistic methods: twice the new update, less the previous one.

    x_{t+1} = x_t + 2 update_t - update_{t-1}        (update_0 = 0)

Source: Daskalakis et al., "Training GANs with optimism" (ICLR 2018).
"""

from collections.abc import Callable

import torch

from hvd_qgenx.optim.rules import AdamRule, Rule, SGDRule, evaluate, in_parts


class Optimistic(Rule):
    """Base of the optimistic optimizers; the previous update is kept in ``state``.

    It includes the step size of its time, so the update that was made is the one taken back.
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        loss = evaluate(closure)
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    values = self.prepare(parameter, group)
                    state = self.state[parameter]
                    if "previous_update" not in state:
                        state["previous_update"] = torch.zeros_like(parameter)
                    values["previous_update"] = state["previous_update"]
                    for part, gradient, own in in_parts(parameter, parameter.grad, values):
                        update = self.update(part, gradient, own, group)
                        part.add_(update, alpha=2).sub_(own["previous_update"])
                        own["previous_update"].copy_(update)
        return loss


class OptimisticSGD(Optimistic, SGDRule):
    """Optimistic mirror descent (OMD), x - 2 lr g_t + lr g_{t-1}; arguments as for ``SGDRule``."""


class OptimisticAdam(Optimistic, AdamRule):
    """Optimistic Adam; arguments as for ``AdamRule``. Source: Daskalakis et al., algorithm 1."""
