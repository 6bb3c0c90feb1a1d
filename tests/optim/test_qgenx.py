"""Q-GenX against arithmetic done by hand, its formulas in numpy, and the theory's rates."""

import copy
import math

import numpy as np
import pytest
import torch

import compressors
from hvd_qgenx import DistributedOptimizer, QGenX
from hvd_qgenx.errors import ConfigurationError, NonFiniteGradientError
from hvd_qgenx.exchange import AllGather, AllReduce, TwoPhase
from hvd_qgenx.optim.qgenx import squared_distance
from hvd_qgenx.transport import inprocess

K = 3
VARIANTS = ("de", "da", "optda")


def scalar(value: float) -> torch.Tensor:
    return torch.tensor([value], dtype=torch.float64, requires_grad=True)


def play(optimizer, x, gradients):
    """Where x is after every move; one gradient for each."""
    moves = optimizer.moves()
    positions = []
    for call, gradient in enumerate(gradients):
        x.grad = torch.tensor([gradient], dtype=torch.float64)
        moves[call % len(moves)]()
        positions.append(x.item())
    return positions


BY_HAND = {
    # gamma_1 = 1; sum 9, dual 1; then sum 9 + 4, dual 1 - 3
    "de": ([2.0, -1.0, 1.0, 3.0], [-1.0, 1 + 10**-0.5, 1.0, 1 - 2 * 14**-0.5], 14**-0.5),
    # sum 4, dual -2; then sum 5, dual -1
    "da": ([2.0, -1.0], [1 - 2 * 5**-0.5, 1 - 6**-0.5], 6**-0.5),
    # sum 4, dual -2, extrapolated by 2; then sum 4 + 16, dual 0, extrapolated by -2
    "optda": ([2.0, -2.0], [1 - 4 * 5**-0.5, 1 + 2 * 21**-0.5], 21**-0.5),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_by_hand(variant):
    gradients, positions, gamma = BY_HAND[variant]
    x = scalar(1.0)
    optimizer = QGenX([x], variant)
    assert optimizer.gamma == 1
    assert play(optimizer, x, gradients) == pytest.approx(positions, rel=1e-14)
    assert optimizer.gamma == pytest.approx(gamma, rel=1e-14)
    assert (optimizer.calls, optimizer.iterations) == (len(gradients), 2)


def test_learning_rate_and_delta_by_hand():
    """gamma_1 = 1 / 2, then (4 + 9)^(-1/2); one player takes half its part."""
    x, y = scalar(1.0), scalar(1.0)
    optimizer = QGenX([{"params": [x]}, {"params": [y], "lr": 0.5}], "da", delta=4)
    assert optimizer.gamma == 0.5
    x.grad, y.grad = torch.full_like(x, 3.0), torch.full_like(y, 0.0)
    optimizer.step()
    y.grad.fill_(2.0)
    optimizer.step()
    assert optimizer.gamma == pytest.approx((4 + 9 + 9 + 4) ** -0.5)
    assert x.item() == pytest.approx(1 - 6 * 26**-0.5)
    assert y.item() == pytest.approx(1 - 0.5 * 2 * 26**-0.5)


def test_two_workers_by_hand():
    """gamma_1 = K; the sum runs over each worker's own gradients, (2 + 1)^2 + (0 - 3)^2."""

    def work(transport):
        x = scalar(1.0)
        optimizer = DistributedOptimizer(QGenX([x]), transport=transport)
        mine = [[2.0, -1.0], [0.0, 3.0]][transport.rank]
        return optimizer.gamma, play(optimizer, x, mine), optimizer.gamma

    for first, positions, second in inprocess.run(2, work):
        assert first == 2
        assert positions == pytest.approx([-1.0, 1 - 2 * 19**-0.5], rel=1e-14)
        assert second == pytest.approx(2 * 19**-0.5, rel=1e-14)


def by_formula(variant, start, means, own):
    """Algorithm 1 in numpy: (positions after every call, gamma, average of the points stepped from).

    ``means[call]`` (d,) is what was exchanged, ``own[call]`` (K, d) what every worker put in.
    """
    workers = len(own[0])
    position, dual, squares, positions, half_points = start, 0 * start, 0.0, [], []
    previous = previous_own = 0 * start
    for call, (mean, mine) in enumerate(zip(means, own, strict=True)):
        gamma = workers * (1 + squares) ** -0.5
        if variant == "de" and call % 2 == 0:
            position, previous_own = position - gamma * mean, mine
        else:
            half_points.append(position)
            squares += float(((np.float64(mine) - previous_own) ** 2).sum())
            gamma, dual = workers * (1 + squares) ** -0.5, dual - mean
            position = start + gamma * dual
            if variant == "optda":
                previous, previous_own = mean, mine
                position = position - gamma * previous
        positions.append(position)
    return np.array(positions), gamma, np.mean(half_points, axis=0)


class Recorded:
    """Mixed into an exchange: keeps what this rank put in, as decoded, and what came out."""

    def __init__(self, transport):
        super().__init__(transport)
        self.own, self.means = [], []

    def reduce(self, transfer, start, stop, name):
        yield from super().reduce(transfer, start, stop, name)
        self.own.append(transfer.own.clone())
        self.means.append(transfer.out.clone())


EXCHANGES = {
    "allgather": (type("RecordedAllGather", (Recorded, AllGather), {}), "minmax"),
    "two-phase": (type("RecordedTwoPhase", (Recorded, TwoPhase), {}), "minmax"),
    "allreduce": (type("RecordedAllReduce", (Recorded, AllReduce), {}), "none"),
    "allreduce-fp16": (type("RecordedAllReduce", (Recorded, AllReduce), {}), "fp16"),
}


def game(transport, variant, exchange, compressor="none", iterations=6):
    """A noisy bilinear game on one worker: its optimizer, its players, and where they were."""
    x = torch.linspace(-1, 1, 5, dtype=torch.float64).requires_grad_()
    y = torch.linspace(1, 2, 3, dtype=torch.float64).requires_grad_()
    matrix = torch.arange(15, dtype=torch.float64).reshape(5, 3) / 15
    optimizer = DistributedOptimizer(
        QGenX([{"params": [x]}, {"params": [y]}], variant),
        None,
        compressors.make(compressor),
        exchange=exchange,
        transport=transport,
    )
    random = torch.Generator().manual_seed(transport.rank)
    positions = [torch.cat([x, y]).detach().numpy()]
    for _ in range(iterations):
        for move in optimizer.moves():
            noise = torch.randn(8, generator=random, dtype=torch.float64)
            x.grad, y.grad = matrix @ y.detach() + noise[:5], -matrix.T @ x.detach() + noise[5:]
            move()
            positions.append(torch.cat([x, y]).detach().numpy())
    return optimizer, (x, y), positions


@pytest.mark.parametrize("exchange", EXCHANGES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_it_is_the_formulas_whatever_the_exchange(variant, exchange):
    make, compressor = EXCHANGES[exchange]

    def work(transport):
        how = make(transport)
        optimizer, (x, y), positions = game(transport, variant, how, compressor)
        with optimizer.averaged():
            average = torch.cat([x, y]).detach().numpy()
        return how.own, how.means, positions, optimizer.gamma, average

    everyone = inprocess.run(K, work)
    own = [np.stack(theirs) for theirs in zip(*(one[0] for one in everyone), strict=True)]
    means = [mean.numpy() for mean in everyone[0][1]]
    start, positions = everyone[0][2][0], everyone[0][2][1:]
    expected, gamma, average = by_formula(variant, start, means, own)
    np.testing.assert_allclose(positions, expected, rtol=1e-12, atol=1e-13)
    assert everyone[0][3] == pytest.approx(gamma, rel=1e-13)
    np.testing.assert_allclose(everyone[0][4], average, rtol=1e-12, atol=1e-13)
    for _, _, theirs, gamma, _ in everyone:
        assert gamma == everyone[0][3]
        assert np.array_equal(theirs, everyone[0][2])
    if exchange == "allgather":
        assert all(np.array_equal(mean, (a + b + c) / K) for mean, (a, b, c) in zip(means, own, strict=True))
        assert not np.array_equal(own[0][0], own[0][1])


@pytest.mark.parametrize("variant", VARIANTS)
def test_one_call_and_one_exchange_an_iteration_but_two_for_dual_extrapolation(variant):
    """All-reduce of 8 doubles over two ranks sends them once; the squares are 8 bytes more."""
    iterations, calls = 5, {"de": 2, "da": 1, "optda": 1}[variant]

    def work(transport):
        how = EXCHANGES["allreduce"][0](transport)
        optimizer, _, _ = game(transport, variant, how, iterations=iterations)
        return len(how.means), optimizer.calls, optimizer.iterations, optimizer.report.bytes_sent

    sent = iterations * (calls * 8 * 8 + 8)
    assert inprocess.run(2, work) == [(iterations * calls, iterations * calls, iterations, sent)] * 2


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_sum_travels_with_the_gradients_of_the_step(variant):
    """It sets out before the mean is waited for, so that it costs no time of its own."""

    def work(transport):
        events, how, gather = [], AllReduce(transport), transport.all_gather

        def recorded(tensor, sizes, name):
            events.append(name.rsplit(".")[-1])
            return gather(tensor, sizes, name)

        def reduce(*arguments):
            yield from AllReduce.reduce(how, *arguments)
            events.append("mean")

        transport.all_gather, how.reduce = recorded, reduce
        game(transport, variant, how, iterations=2)
        return events

    iteration = ["mean", "sum", "mean"] if variant == "de" else ["sum", "mean"]
    assert inprocess.run(2, work) == [iteration * 2] * 2


def test_alone_it_is_one_worker():
    def run(wrap):
        x = scalar(1.0)
        optimizer = QGenX([x])
        if wrap:
            optimizer = DistributedOptimizer(optimizer, transport=inprocess.InProcess())
        return play(optimizer, x, [2.0, -1.0, 1.0, 3.0]), optimizer.gamma

    assert run(True) == run(False)


def bilinear(variant, iterations):
    """||A(average)||, and the distance of the last iterate, from 0 to a solution of norm 1."""
    random = torch.Generator().manual_seed(0)
    left, right = (torch.linalg.qr(torch.randn(10, 10, generator=random, dtype=torch.float64))[0] for _ in range(2))
    matrix = left @ torch.diag(torch.linspace(0.3, 1, 10, dtype=torch.float64)) @ right.T
    solution = torch.nn.functional.normalize(torch.randn(20, generator=random, dtype=torch.float64), dim=0)
    x, y = (torch.zeros(10, dtype=torch.float64, requires_grad=True) for _ in range(2))

    def operator():
        u, v = x.detach() - solution[:10], y.detach() - solution[10:]
        return matrix @ v, -matrix.T @ u

    optimizer = torch.optim.SGD([x, y], lr=0.3) if variant == "sgd" else QGenX([x, y], variant)
    for _ in range(iterations):
        for move in optimizer.moves() if isinstance(optimizer, QGenX) else (optimizer.step,):
            x.grad, y.grad = operator()
            move()
    last = float(torch.linalg.vector_norm(torch.cat([x, y]).detach() - solution))
    if variant == "sgd":
        return math.nan, last
    with optimizer.averaged():
        return float(torch.linalg.vector_norm(torch.cat(operator()))), last


@pytest.mark.parametrize("variant", ["de", "optda"])
def test_on_a_bilinear_game_the_average_converges_as_1_over_t_and_the_last_iterate_too(variant):
    early, _ = bilinear(variant, 100)
    late, last = bilinear(variant, 3000)
    assert math.log(early / late, 30) == pytest.approx(1, abs=0.02)
    assert last < 1e-12


def test_on_a_bilinear_game_dual_averaging_converges_in_its_average_alone():
    early, _ = bilinear("da", 100)
    late, last = bilinear("da", 2000)
    assert late < early / 3
    assert last > 0.5


def test_on_a_bilinear_game_descent_ascent_diverges():
    assert bilinear("sgd", 300)[1] > 1e3


@pytest.mark.parametrize("variant", VARIANTS)
def test_averaged_is_the_mean_of_the_points_stepped_from(variant):
    flat = torch.tensor([1.0, 2.0], dtype=torch.float64)
    x = flat.requires_grad_()
    optimizer = QGenX([x], variant)
    with pytest.raises(RuntimeError, match="no average before the first iteration"), optimizer.averaged():
        pass
    stepped_from = []
    for t in range(10):
        for move in optimizer.moves():  # the mean is also looked at between the two
            if move == optimizer.step:
                stepped_from.append(x.detach().clone())
            x.grad = torch.tensor([math.sin(3 * t + x[0].item()), math.cos(t) - x[1].item()], dtype=torch.float64)
            move()
            if optimizer.iterations:
                at, mean, pointer = x.detach().clone(), torch.stack(stepped_from).mean(0), x.data_ptr()
                with optimizer.averaged():
                    torch.testing.assert_close(x.detach(), mean, rtol=1e-13, atol=1e-13)
                    assert x.data_ptr() == pointer
                    assert torch.is_grad_enabled()
                assert torch.equal(x, at)


def test_averaged_gives_the_parameters_back_after_an_error():
    x = scalar(1.0)
    optimizer = QGenX([x], "da")
    last = play(optimizer, x, [2.0, -1.0])[-1]

    def fail():
        with optimizer.averaged():
            assert x.item() != last
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert x.item() == last


def serialized(state, tmp_path):
    torch.save(state, tmp_path / "state.pt")
    return torch.load(tmp_path / "state.pt", weights_only=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("variant", VARIANTS)
def test_resumed_at_any_call_it_goes_on_bit_for_bit(variant, dtype, tmp_path):
    def run(resume_at):
        x = torch.tensor([1.0, -2.0], dtype=dtype, requires_grad=True)
        optimizer = QGenX([x], variant, lr=0.7)
        calls = 4 * optimizer.moves_per_step
        for call in range(calls):
            if call == resume_at:
                state = serialized(optimizer.state_dict(), tmp_path)
                x = x.detach().clone().requires_grad_()
                optimizer = QGenX([x], variant)
                optimizer.load_state_dict(state)
            x.grad = torch.sin(call + 3 * x.detach())
            optimizer.moves()[call % optimizer.moves_per_step]()
        with optimizer.averaged():
            average = x.tolist()
        return x.tolist(), average, optimizer.gamma, optimizer.calls

    whole = run(None)
    assert [run(call) for call in range(whole[3])] == [whole] * whole[3]


@pytest.mark.parametrize("exchange", ["allgather", "two-phase"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_resumed_at_any_call_all_workers_go_on_bit_for_bit(variant, exchange):
    def run(transport, resume_at):
        def make(x, y):
            return DistributedOptimizer(
                QGenX([{"params": [x]}, {"params": [y]}], variant),
                None,
                compressors.make("minmax", bits=2, seed=5),
                exchange=exchange,
                transport=transport,
            )

        x, y = torch.ones(5, requires_grad=True), torch.ones(2, 2, requires_grad=True)
        optimizer = make(x, y)
        for call in range(6):
            if call == resume_at:
                state = copy.deepcopy(optimizer.state_dict())
                x, y = (p.detach().clone().requires_grad_() for p in (x, y))
                optimizer = make(x, y)
                optimizer.load_state_dict(state)
            x.grad = torch.sin(call + (1 + transport.rank) * x.detach())
            y.grad = torch.cos(call * transport.rank + y.detach())
            optimizer.moves()[call % optimizer.moves_per_step]()
        return x.tolist(), y.tolist(), optimizer.gamma

    whole = inprocess.run(K, lambda t: run(t, None))
    assert whole == [whole[0]] * K
    for resume_at in range(6):
        assert inprocess.run(K, lambda t, at=resume_at: run(t, at)) == whole


def as_lists(state):
    """The same with tensors as lists, to be compared with ``==``."""
    return {
        key: as_lists(x) if isinstance(x, dict) else getattr(x, "tolist", lambda x=x: x)() for key, x in state.items()
    }


def test_only_what_is_local_differs_between_ranks():
    def work(transport):
        optimizer, _, _ = game(transport, "optda", "allgather", "minmax")
        state = optimizer.state_dict()
        return state.pop("local"), as_lists(state)

    locals_, shared = zip(*inprocess.run(K, work), strict=True)
    assert list(shared) == [shared[0]] * K
    assert set(shared[0]["state"][0]) == {"start", "dual", "average"}
    assert [local["compression"]["stream"]["rank"] for local in locals_] == [0, 1, 2]
    previous = [local["state"][0]["previous"] for local in locals_]
    assert not torch.equal(previous[0], previous[1])


def test_a_plain_state_loads_into_a_distributed_optimizer():
    x = scalar(1.0)
    optimizer = QGenX([x], "optda")
    play(optimizer, x, [2.0])
    wrapped = DistributedOptimizer(QGenX([x], "optda"), transport=inprocess.InProcess())
    wrapped.load_state_dict(optimizer.state_dict())
    assert play(wrapped, x, [-2.0]) == pytest.approx([1 + 2 * 21**-0.5])


@pytest.mark.parametrize("variant", VARIANTS)
def test_gradients_zeroed_in_place_stay_remembered(variant):
    gradients, positions, gamma = BY_HAND[variant]
    x = scalar(1.0)
    optimizer = QGenX([x], variant)
    x.grad = torch.zeros_like(x)
    for call, gradient in enumerate(gradients):
        optimizer.zero_grad(set_to_none=False)
        x.grad.add_(gradient)
        optimizer.moves()[call % optimizer.moves_per_step]()
        assert x.item() == pytest.approx(positions[call])
    assert optimizer.gamma == pytest.approx(gamma)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_missing_gradient_counts_as_zeros(variant):
    def run(missing):
        x, y = scalar(1.0), scalar(2.0)
        optimizer = QGenX([x, y], variant)
        for call in range(6):
            x.grad = torch.full_like(x, math.sin(call))
            y.grad = torch.full_like(y, math.cos(call)) if call == 3 else (None if missing else torch.zeros_like(y))
            optimizer.moves()[call % optimizer.moves_per_step]()
        with optimizer.averaged():
            return y.item(), optimizer.gamma

    assert run(missing=True) == pytest.approx(run(missing=False), rel=1e-14)


def test_a_parameter_that_never_has_a_gradient_stays():
    x, frozen = scalar(1.0), torch.ones(2)
    optimizer = QGenX([x, frozen])
    play(optimizer, x, [2.0, -1.0])
    assert frozen not in optimizer.state
    with optimizer.averaged():
        assert frozen.tolist() == [1, 1]


def test_a_bad_gradient_changes_nothing():
    def work(transport):
        optimizer, (x, y), positions = game(transport, "optda", "auto")
        before = as_lists(optimizer.state_dict()["state"]), optimizer.gamma, optimizer.calls
        x.grad, y.grad = torch.ones_like(x), torch.full_like(y, math.nan if transport.rank == 1 else 1.0)
        with pytest.raises(NonFiniteGradientError, match=r"rank 1: parameter '1\.0'"):
            optimizer.step()
        assert (as_lists(optimizer.state_dict()["state"]), optimizer.gamma, optimizer.calls) == before
        assert np.array_equal(torch.cat([x, y]).detach().numpy(), positions[-1])
        x.grad, y.grad = torch.ones_like(x), torch.ones_like(y)
        optimizer.step()
        return optimizer.gamma

    assert len(set(inprocess.run(K, work))) == 1


def test_clipping_changes_the_move_and_not_the_distance():
    def work(transport):
        x = scalar(1.0)
        optimizer = DistributedOptimizer(QGenX([x], "da"), transport=transport)
        x.grad = torch.full_like(x, 3.0 * transport.rank)
        optimizer.synchronize()
        x.grad.clamp_(max=0.5)
        with optimizer.skip_synchronize():
            optimizer.step()
        return x.item(), optimizer.gamma

    gamma = 2 * (1 + 9) ** -0.5
    assert inprocess.run(2, work) == [pytest.approx((1 - 0.5 * gamma, gamma))] * 2


def test_without_an_exchange_gradients_count_as_they_are():
    def work(transport):
        x = scalar(1.0)
        optimizer = DistributedOptimizer(QGenX([x], "da"), transport=transport)
        play(optimizer, x, [5.0])
        x.grad = torch.full_like(x, 3.0 * transport.rank)
        with optimizer.skip_synchronize():
            optimizer.step()
        return optimizer.gamma

    assert inprocess.run(2, work) == [pytest.approx(2 * (1 + 50 + 9) ** -0.5)] * 2


@pytest.mark.parametrize("shape", [(50_000,), (100_003,), (300, 1001), (1100, 1001)])
def test_the_squared_distance_does_not_depend_on_threads(shape):
    random = torch.Generator().manual_seed(0)
    one, other = (torch.randn(shape, generator=random) for _ in range(2))
    exact = math.fsum(((one.double() - other.double()) ** 2).flatten().tolist())
    threads = torch.get_num_threads()
    found = set()
    try:
        for number in (1, 2, 3, 5):
            torch.set_num_threads(number)
            found.add(squared_distance(one, other))
    finally:
        torch.set_num_threads(threads)
    assert len(found) == 1
    assert found.pop() == pytest.approx(exact, rel=1e-12)


def test_the_squared_distance_takes_nothing_for_zeros():
    vector = torch.tensor([3.0, 4.0])
    assert squared_distance(vector, None) == squared_distance(None, vector) == 25
    assert squared_distance(None, None) == 0


def test_wrong_use_is_named():
    x = scalar(1.0)
    with pytest.raises(ConfigurationError, match="unknown variant of Q-GenX 'opda'; did you mean 'optda'"):
        QGenX([x], "opda")
    with pytest.raises(ValueError, match="lr must not be negative"):
        QGenX([x], lr=-1)
    with pytest.raises(ValueError, match="delta must be positive"):
        QGenX([x], delta=0)
    with pytest.raises(RuntimeError, match=r"call extrapolation\(\) before step\(\)"):
        QGenX([x], "de").step()
    x.grad = torch.ones_like(x)
    optimizer = QGenX([x])
    optimizer.extrapolation()
    with pytest.raises(RuntimeError, match=r"call step\(\) before the next extrapolation"):
        optimizer.extrapolation()
    for variant in ("da", "optda"):
        with pytest.raises(RuntimeError, match=f"Q-GenX {variant} takes one gradient per iteration"):
            QGenX([x], variant).extrapolation()
