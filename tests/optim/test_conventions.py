"""What torch users expect of any optimizer, of each of ours."""

import pytest
import torch

from hvd_qgenx import ExtraAdam, ExtraSGD, OptimisticAdam, OptimisticSGD, PastExtraAdam, PastExtraSGD, QGenX
from hvd_qgenx.optim import QODA

OPTIMIZERS = {
    "extra-sgd": lambda p: ExtraSGD(p, lr=0.1, momentum=0.9),
    "extra-adam": lambda p: ExtraAdam(p, lr=0.1),
    "extra-adam-amsgrad": lambda p: ExtraAdam(p, lr=0.1, betas=(0.5, 0.6), amsgrad=True),
    "past-extra-sgd": lambda p: PastExtraSGD(p, lr=0.1, momentum=0.9),
    "past-extra-adam": lambda p: PastExtraAdam(p, lr=0.1, amsgrad=True),
    "optimistic-sgd": lambda p: OptimisticSGD(p, lr=0.1),
    "optimistic-adam": lambda p: OptimisticAdam(p, lr=0.1),
    "qgenx-de": lambda p: QGenX(p, "de", lr=0.1),
    "qgenx-da": lambda p: QGenX(p, "da", lr=0.1),
    "qgenx-optda": lambda p: QGenX(p, "optda", lr=0.1),
    "qoda": lambda p: QODA(p, lr=0.1),
    "qoda-separated": lambda p: QODA(p, lr=0.1, exponent=0.25),
}
each = pytest.mark.parametrize("name", OPTIMIZERS)


def play(optimizer, x, calls, start=0, before=lambda: None):
    """Gradients depend on where x is and on the number of the call."""
    for call in range(start, calls):
        before()
        gradient = torch.sin(call + 3 * x.detach())
        x.grad = gradient if x.grad is None else x.grad.copy_(gradient)
        optimizer.moves()[call % optimizer.moves_per_step]()


def point(dtype=torch.float32):
    return torch.tensor([1.0, -2.0, 0.5], dtype=dtype, requires_grad=True)


@each
def test_moves_are_those_it_has(name):
    optimizer = OPTIMIZERS[name]([point()])
    moves = 2 if name in ("extra-sgd", "extra-adam", "extra-adam-amsgrad", "qgenx-de") else 1
    assert optimizer.moves_per_step == len(optimizer.moves()) == moves


@each
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_resumed_at_any_call_it_goes_on_bit_for_bit(name, dtype, tmp_path):
    whole = point(dtype)
    play(OPTIMIZERS[name]([whole]), whole, 8)
    for resume_at in range(8):
        x = point(dtype)
        optimizer = OPTIMIZERS[name]([x])
        play(optimizer, x, resume_at)
        torch.save(optimizer.state_dict(), tmp_path / "state.pt")
        x = x.detach().clone().requires_grad_()
        optimizer = OPTIMIZERS[name]([x])
        optimizer.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
        play(optimizer, x, 8, resume_at)
        assert torch.equal(x, whole)


@each
def test_parameters_move_in_place(name):
    """Views into a flat buffer stay valid."""
    flat = torch.zeros(5)
    x = flat[:3].requires_grad_()
    optimizer = OPTIMIZERS[name]([x])
    for calls in (2, 4, 6):
        before = flat.detach().clone()
        play(optimizer, x, calls, calls - 2)
        assert not torch.equal(flat[:3], before[:3])
        assert torch.equal(flat[:3], x)
    assert flat[3:].tolist() == [0, 0]


@each
def test_gradients_may_be_zeroed_in_place(name):
    """The remembered gradient or update is no view of ``.grad``."""
    x, y = point(), point()
    one, two = OPTIMIZERS[name]([x]), OPTIMIZERS[name]([y])
    play(one, x, 8, before=lambda: one.zero_grad(set_to_none=False))
    play(two, y, 8, before=lambda: two.zero_grad(set_to_none=True))
    assert torch.equal(x, y)


@each
def test_learning_rate_schedulers_work(name):
    """At lr 0 the iterate stands still, once the extrapolation made before is taken back."""
    x = point()
    optimizer = OPTIMIZERS[name]([x])
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: float(epoch < 2))
    play(optimizer, x, 2 * optimizer.moves_per_step)
    scheduler.step()
    scheduler.step()
    assert optimizer.param_groups[0]["lr"] == 0
    play(optimizer, x, 4 * optimizer.moves_per_step, 2 * optimizer.moves_per_step)
    still = x.detach().clone()
    play(optimizer, x, 8 * optimizer.moves_per_step, 4 * optimizer.moves_per_step)
    assert torch.equal(x, still)


@each
def test_groups_have_options_of_their_own(name):
    x, y, both = point(), point(), [point(), point()]
    apart = OPTIMIZERS[name]([x]), OPTIMIZERS[name]([{"params": [y], "lr": 0.01}])
    together = OPTIMIZERS[name]([{"params": both[:1]}, {"params": both[1:], "lr": 0.01}])
    for optimizer in (*apart, together):
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                parameter.grad = torch.tensor([1.0, 2.0, -1.0])
        optimizer.moves()[0]()
    assert not torch.equal(both[0], both[1])
    if name not in ("qgenx-da", "qgenx-optda", "qoda"):  # there gamma is made of all groups
        assert torch.equal(x, both[0])
        assert torch.equal(y, both[1])


@each
def test_closures(name):
    x = torch.tensor([3.0], requires_grad=True)
    optimizer = OPTIMIZERS[name]([x])

    def closure():
        optimizer.zero_grad()
        loss = x.square().sum()
        loss.backward()
        return loss

    if name.startswith("extra"):
        with pytest.raises(ValueError, match="takes no closure"):
            optimizer.step(closure)
        return
    if optimizer.moves_per_step == 2:
        closure()
        optimizer.extrapolation()
    before = x.item()
    assert optimizer.step(closure).item() == pytest.approx(before**2)
    assert abs(x.item()) < 3
