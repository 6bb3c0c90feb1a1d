import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import optim
from torch.nn.functional import mse_loss

from hvd_qgenx.optim import DecentralizedOptimizer, DistributedOptimizer, eager
from hvd_qgenx.transport.inprocess import InProcess, run


@pytest.mark.parametrize(
    ("name", "settings"),
    [("SGD", {"momentum": 0.9, "nesterov": True}), ("Adam", {"amsgrad": True}), ("AdamW", {"weight_decay": 0.1})],
)
def test_it_is_the_optimizer_of_torch(name: str, settings: dict[str, float]) -> None:
    def train(optimizer_class: type[optim.Optimizer]) -> tuple[torch.Tensor, dict[str, object]]:
        generator = torch.Generator().manual_seed(0)
        weight = torch.randn(5, 7, generator=generator, requires_grad=True)
        optimizer = optimizer_class([weight], lr=0.1, **settings)
        for _ in range(5):
            optimizer.zero_grad()
            mse_loss(torch.randn(3, 5, generator=generator) @ weight, torch.ones(3, 7)).backward()
            optimizer.step()
        assert weight.is_leaf, "the step was differentiated"
        state = optimizer.state_dict()
        again = optimizer_class([weight], lr=0.2)
        again.load_state_dict(state)
        assert again.state_dict()["param_groups"] == state["param_groups"]
        return weight.detach(), state["state"][0]

    (ours, state), (theirs, expected) = train(getattr(eager, name)), train(getattr(optim, name))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
    torch.testing.assert_close(state, expected, rtol=0, atol=0)


@pytest.mark.parametrize("command", ["gan --updates 2", "classify --updates 2", "bilinear --iterations 2"])
def test_a_command_does_not_load_the_compiler(command: str, tmp_path: Path) -> None:
    arguments = [*command.split(), "--out", str(tmp_path / "run")]
    code = f"""
import sys
from hvd_qgenx.cli import main
main({arguments}, standalone_mode=False)
sys.exit("torch._dynamo" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path).returncode == 0


class Counting(optim.SGD):
    """An optimizer of the user's own, which has its own methods in place of those that are hidden."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        self.calls: list[str] = []
        super().__init__(*arguments, **settings)

    def zero_grad(self, set_to_none: bool = True) -> None:
        self.calls.append("zero_grad")
        super().zero_grad(set_to_none)

    def state_dict(self) -> dict[str, Any]:
        self.calls.append("state_dict")
        return super().state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.calls.append("load_state_dict")
        super().load_state_dict(state_dict)


@pytest.mark.parametrize("wrap", [DistributedOptimizer, partial(DecentralizedOptimizer, gossip="dpsgd")])
def test_an_optimizer_of_the_users_keeps_its_own_methods(wrap: Callable[..., Any]) -> None:
    def train(transport: InProcess) -> list[str]:
        wrapped = wrap(Counting([torch.ones(3, requires_grad=True)], lr=0.1), transport=transport)
        wrapped.calls.clear()
        wrapped.zero_grad()
        wrapped.load_state_dict(wrapped.state_dict())
        return wrapped.calls

    assert run(2, train) == [["zero_grad", "state_dict", "load_state_dict"]] * 2
