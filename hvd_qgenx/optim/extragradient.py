"""Extra-gradient: two moves an iteration, both from the same base point.

Usage, with gradients in ``.grad`` as for any torch optimizer::

    compute_gradients()         # at X_t
    optimizer.extrapolation()   # X_{t+1/2} = X_t + update(gradient)
    compute_gradients()         # at X_{t+1/2}
    optimizer.step()            # X_{t+1}   = X_t + update(gradient)

Source: Korpelevich (1976); Gidel et al., "A variational inequality perspective on GANs" (ICLR 2019).
"""

from collections.abc import Callable

import torch

from hvd_qgenx.optim.rules import AdamRule, Rule, SGDRule, in_parts


class Extragradient(Rule):
    """Base of the extra-gradient optimizers: keeps the base point, and leaves the update to the rule.

    The base point is kept in ``state``, so ``state_dict`` taken between the two moves is complete.
    """

    moves_per_step = 2

    @torch.no_grad()
    def extrapolation(self) -> None:
        """Moves to X_{t+1/2}; the first call since ``step`` keeps X_t as the base point."""
        for group in self.param_groups:
            for parameter in group["params"]:
                state = self.state[parameter]
                if "base" not in state:
                    state["base"] = parameter.clone()
                if parameter.grad is not None:
                    values = self.prepare(parameter, group)
                    for part, gradient, state in in_parts(parameter, parameter.grad, values):
                        part.add_(self.update(part, gradient, state, group))

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Moves from the base point to X_{t+1}.

        Raises:
            RuntimeError: ``extrapolation`` was not called first.
            ValueError: a closure was given; the two gradients are the caller's to compute.
        """
        if closure is not None:
            raise ValueError("extra-gradient takes no closure; compute the gradients, then call step()")
        for group in self.param_groups:
            for parameter in group["params"]:
                base = self.state[parameter].pop("base", None)
                if base is None:
                    raise RuntimeError("call extrapolation() before step()")
                if parameter.grad is None:
                    parameter.copy_(base)
                    continue
                values = {**self.prepare(parameter, group), "base": base}
                for part, gradient, state in in_parts(parameter, parameter.grad, values):
                    part.copy_(state["base"].add_(self.update(part, gradient, state, group)))


class ExtraSGD(Extragradient, SGDRule):
    """Extra-gradient with SGD's update; arguments as for ``SGDRule``."""


class ExtraAdam(Extragradient, AdamRule):
    """Extra-gradient with Adam's update; arguments as for ``AdamRule``.

    Moments and step count advance at both moves. Source: Gidel et al. (ICLR 2019), algorithm 4.
    """
