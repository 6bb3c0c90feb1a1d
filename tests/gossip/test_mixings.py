"""Mixings against what their papers say: formulas transcribed, means kept, fixed points."""

import itertools
from contextlib import suppress

import numpy as np
import pytest
import torch

import compressors
from compressors import text
from compressors.scaled import as_contraction
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.exchange import Codec
from hvd_qgenx.gossip.messages import Messages, fitting
from hvd_qgenx.gossip.mixings.base import Rates
from hvd_qgenx.gossip.mixings.choco import Choco
from hvd_qgenx.gossip.mixings.registry import MIXINGS
from hvd_qgenx.gossip.momentum import QuasiGlobalMomentum
from hvd_qgenx.gossip.registry import make
from hvd_qgenx.gossip.simulated import Simulated, _Apart, _coder, _Together

pytestmark = pytest.mark.usefixtures("one_thread")
D, RATES = 40, Rates(1.0)


def rows(n, d=D, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def still(x):
    return torch.zeros_like(x)


def run(name, topology, start, gradient=still, spec="none", rates=RATES, lr=0.1, steps=10, drop=0.0, known=False):
    """Returns the points of all ranks after some steps."""
    kind, x = MIXINGS[name], start.clone()
    carrier = Simulated(topology, fitting(text.parse(spec), kind), x.shape[1], drop=drop)
    mixed = (lambda phase: torch.from_numpy(topology.matrix(phase)) @ start) if known else None
    mixing = kind(carrier.rows, x, mixed, rates)
    for step in range(steps):
        g = gradient(x)
        if mixing.tracks:
            mixing.hear_gradients(g, carrier.exchange(mixing.gradient_message(g), step, kind))
        mixing.before_step(x)
        x.sub_(g, alpha=lr)
        mixing.hear(x, carrier.exchange(mixing.message(x, lr), step, kind))
    return x


class Quadratic:
    """f_i(x) = 1/2 (x - b_i)' A_i (x - b_i), with another minimum for every rank."""

    def __init__(self, n, d=6):
        factors = torch.randn(n, d, d, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
        self.a = torch.eye(d, dtype=torch.float64) + factors @ factors.transpose(1, 2) / d
        self.b = rows(n, d, seed=4)
        moment = torch.einsum("nij,nj->i", self.a, self.b)
        self.minimum = torch.linalg.solve(self.a.sum(0), moment)

    def gradient(self, x):
        return torch.einsum("nij,nj->ni", self.a, x - self.b)


def combinations():
    """Mixings with topologies and compressors that they go with."""
    names = ("choco", "deepsqueeze", "lead", "beer", "dpsgd")
    topologies, specs = (
        ("ring", "one-peer-exponential", "base-k"),
        ("none", "topk:ratio=.1", "randomk:ratio=.1", "minmax"),
    )
    for name, topology, spec in itertools.product(names, topologies, specs):
        with suppress(ConfigurationError):
            MIXINGS[name].check(make(topology, 6))
            fitting(text.parse(spec), MIXINGS[name])
            yield name, topology, spec


@pytest.mark.parametrize(("name", "topology", "spec"), list(combinations()))
def test_the_mean_stays_without_gradients(name, topology, spec):
    made, start = make(topology, 6), rows(6)
    found = run(name, made, start, spec=spec, rates=Rates(0.1), steps=12)
    assert torch.allclose(found.mean(0), start.mean(0), rtol=0, atol=1e-12)
    assert not torch.allclose(found, start)


@pytest.mark.parametrize("topology", ["ring", "one-peer-exponential"])
def test_choco_without_compression_is_dpsgd(topology):
    f = Quadratic(5)
    choco, plain = (run(name, make(topology, 5), f.b, f.gradient) for name in ("choco", "dpsgd"))
    assert torch.allclose(choco, plain, rtol=1e-12)


@pytest.mark.parametrize("name", MIXINGS)
def test_a_rank_alone_takes_plain_steps(name):
    f, spec = Quadratic(1), "none" if MIXINGS[name].takes == "nothing" else "sign"
    found = run(name, make("ring", 1), f.b + 1, f.gradient, spec, Rates(0.5, 1.0), steps=20, known=True)
    x = f.b + 1
    for _ in range(20):
        x = x - 0.1 * f.gradient(x)
    assert torch.allclose(found, x, rtol=1e-10)


@pytest.mark.parametrize("name", ["lead", "beer", "motef"])
@pytest.mark.parametrize("spec", ["none", "minmax:bits=4"])
def test_corrected_methods_end_at_the_minimum_of_all(name, spec):
    f = Quadratic(6)
    found = run(name, make("ring", 6), torch.zeros_like(f.b), f.gradient, spec, Rates(0.8), lr=0.05, steps=1200)
    assert float((found - f.minimum).abs().max()) < 1e-9


@pytest.mark.parametrize("name", ["dpsgd", "choco", "deepsqueeze"])
def test_plain_methods_end_beside_it(name):
    f = Quadratic(6)
    found = run(name, make("ring", 6), torch.zeros_like(f.b), f.gradient, lr=0.05, steps=1200)
    assert 1e-3 < float((found - f.minimum).abs().max()) < 1


@pytest.mark.parametrize(("topology", "n", "diameter"), [("chain", 5, 4), ("star", 6, 2)])
def test_relay_has_the_exact_mean_after_as_many_steps_as_the_tree_is_long(topology, n, diameter):
    start, kind, made = rows(n), MIXINGS["relay"], make(topology, n)
    carrier = Simulated(made, fitting(text.parse("none"), kind), D)
    mixing = kind(carrier.rows, start.clone(), None, Rates())
    for step in range(diameter + 2):
        x = start.clone()
        mixing.hear(x, carrier.exchange(mixing.message(x, 0.1), step, kind))
        assert torch.allclose(x, start.mean(0).expand_as(x), rtol=0, atol=1e-12) == (step >= diameter - 1)


def sign(x):
    return np.abs(x).mean(1, keepdims=True) * np.where(x >= 0, 1.0, -1.0)


def dcd(w, x, gradient, lr, steps):
    for _ in range(steps):
        x = x + sign(w @ x - lr * gradient(x) - x)
    return x


def ecd(w, x, gradient, lr, steps):
    y = x.copy()
    for t in range(1, steps + 1):
        new = w @ y - lr * gradient(x)
        z = (1 - t / 2) * x + t / 2 * new
        y = (1 - 2 / t) * y + 2 / t * sign(z)
        x = new
    return x


def choco(w, x, gradient, lr, steps):
    known = np.zeros_like(x)
    for _ in range(steps):
        x = x - lr * gradient(x)
        known = known + sign(x - known)
        x = x + 0.3 * (w @ known - known)
    return x


def deepsqueeze(w, x, gradient, lr, steps):
    error = np.zeros_like(x)
    for _ in range(steps):
        x = x - lr * gradient(x)
        sent = sign(x + error)
        error = x + error - sent
        x = x + 0.3 * (w @ sent - sent)
    return x


def lead(w, x, gradient, lr, steps):
    known, dual = np.zeros_like(x), np.zeros_like(x)
    for _ in range(steps):
        y = x - lr * gradient(x) - lr * dual
        sent = sign(y - known)
        estimate = known + sent
        known = known + 0.4 * sent
        dual = dual + 0.3 / (2 * lr) * (estimate - w @ estimate)
        x = x - lr * gradient(x) - lr * dual
    return x


def beer(w, x, gradient, lr, steps):
    known, tracked, v, last = (np.zeros_like(x) for _ in range(4))
    for _ in range(steps):
        new = gradient(x)
        v = v + 0.3 * (w @ tracked - tracked) + new - last
        tracked, last = tracked + sign(v - tracked), new
        x = x + 0.3 * (w @ known - known) - lr * v
        known = known + sign(x - known)
    return x


@pytest.mark.parametrize("formula", [dcd, ecd, choco, deepsqueeze, lead, beer], ids=lambda each: each.__name__)
def test_formulas(formula):
    """All start from zero, which neighbours know."""
    f, topology, steps = Quadratic(5), make("ring", 5), 7
    zeros = torch.zeros_like(f.b)
    found = run(formula.__name__, topology, zeros, f.gradient, "sign", Rates(0.3, 0.4), steps=steps)
    wanted = formula(topology.matrix(0), zeros.numpy(), lambda x: f.gradient(torch.from_numpy(x)).numpy(), 0.1, steps)
    assert np.allclose(found.numpy(), wanted, rtol=1e-4, atol=1e-5)


def test_quasi_global_momentum():
    f, decay, lr = Quadratic(3), 0.9, 0.05
    x = torch.zeros_like(f.b)
    momentum = QuasiGlobalMomentum(x, decay)
    w = torch.from_numpy(make("ring", 3).matrix(0))
    wanted, m = torch.zeros_like(x), torch.zeros_like(x)
    for _ in range(6):
        g = f.gradient(x)
        momentum.correct(g, x, lr)
        x = w @ (x - lr * g)
        mixed = w @ (wanted - lr * (f.gradient(wanted) + decay * m))
        m, wanted = decay * m + (1 - decay) * (wanted - mixed) / lr, mixed
    assert torch.allclose(x, wanted, rtol=1e-12)


@pytest.mark.parametrize("d", [16, 40, 10])
@pytest.mark.parametrize("spec", ["sign:bucket_size=16", "topk:ratio=.2,bucket_size=16", "none"])
def test_rows_at_once_are_rows_apart(spec, d):
    """Buckets end where rows end, the last one of a row may be shorter."""
    x, fitted = rows(4, d), fitting(text.parse(spec), Choco)
    together, apart = _coder(fitted, 4, d, x.dtype), _Apart(fitted, 4, d, x.dtype)
    assert isinstance(together, _Together)
    for _ in range(2):
        (one, sizes), (other, others) = together.pass_through(x), apart.pass_through(x)
        assert torch.equal(one, other)
        assert sizes == others


def test_random_places_are_each_ranks_own():
    """If all ranks left out the same coordinates, replicas would be as old everywhere, and stability would suffer."""
    vector, fitted = rows(1, 100)[0], fitting(text.parse("randomk:ratio=.1"), Choco)
    decoded = []
    for rank in range(2):
        messages = Messages(Codec([(fitted.for_rank(rank, ranks=2), 100)], torch.float64))
        decoded.append(messages.decode(messages.encode(vector), torch.empty_like(vector)))
    assert not torch.equal(decoded[0] != 0, decoded[1] != 0)


def contractions():
    for name in compressors.names():
        try:
            yield fitting(compressors.make(name), Choco)
        except ConfigurationError:
            continue


@pytest.mark.parametrize("compressor", list(contractions()), ids=lambda each: getattr(each, "inner", each).name)
def test_contractions(compressor):
    """The error is never above |x|^2, and in the mean within w / (1 + w) of the compressor's bound w."""
    messages = Messages(Codec([(compressor.for_rank(0), 512)], torch.float64))
    lost = bound = 0.0
    for vector in [*rows(24, 512), *(rows(8, 512, seed=1) ** 5)]:
        decoded = messages.decode(messages.encode(vector), torch.empty_like(vector))
        error, square = float((decoded - vector).square().sum()), float(vector.square().sum())
        assert error <= square * (1 + 1e-6)
        lost, bound = lost + error / square, bound + compressor.variance_bound(vector) / square
    assert lost <= bound * 1.02 + 1e-9


def test_unbiased_compressors_are_scaled_once():
    scaled = as_contraction(text.parse("minmax"))
    assert as_contraction(scaled) is scaled
    assert as_contraction(text.parse("topk")).name == "topk"


def test_lost_messages_leave_values_between_those_of_the_start():
    """Plain gossip takes its own vector where one is lost, so values stay within the hull of the start."""
    start = rows(6)
    found = run("dpsgd", make("ring", 6), start, steps=30, drop=0.3)
    assert bool((found <= start.amax(0) + 1e-12).all() and (found >= start.amin(0) - 1e-12).all())
    assert not torch.allclose(found.mean(0), start.mean(0), atol=1e-3)
