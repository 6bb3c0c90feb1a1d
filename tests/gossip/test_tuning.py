"""Consensus step sizes that are found, against published ones."""

import math

import pytest

from compressors import text
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.gossip.choices import Choice, StepSize, combinations
from hvd_qgenx.gossip.messages import fitting
from hvd_qgenx.gossip.mixings.choco import Choco
from hvd_qgenx.gossip.registry import make
from hvd_qgenx.gossip.spectrum import analyse, consensus_step_size
from hvd_qgenx.gossip.tuning import measure_quality, safe_step, tune

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize(
    ("n", "spec", "low", "high"),
    [
        (8, "sign", 0.3, 0.6),
        (25, "topk:ratio=.01", 0.015, 0.046),
        (8, "minmax:bits=4", 0.9, 1.0),
        (8, "none", 1.0, 1.0),
    ],
)
def test_safe_steps_are_near_tuned_ones(n, spec, low, high):
    assert low <= safe_step(make("ring", n), text.parse(spec)) <= high


def test_safe_steps_are_functions_of_the_arguments():
    ring = make("ring", 4)
    for compressor in (text.parse("sign"), fitting(text.parse("minmax:bits=2"), Choco).for_rank(3, seed=7)):
        assert safe_step(ring, compressor, dimension=100) == safe_step(ring, compressor, dimension=100)


@pytest.mark.parametrize(
    ("mixing", "topology", "n"),
    [("dpsgd", "ring", 4), ("relay", "ring", 1), ("choco", "ring", 1), ("choco", "disconnected", 3)],
)
def test_where_there_is_nothing_to_tune_it_is_one(mixing, topology, n):
    assert safe_step(make(topology, n), text.parse("none"), mixing) == 1.0


def test_tuning():
    ring, compressor = make("ring", 8), text.parse("minmax:bits=4")
    found, spectrum = tune(ring, compressor, dimension=100), analyse(ring)
    assert 1.0 <= found.best <= 2 / spectrum.beta
    assert found.best <= found.largest_stable * 1.2
    assert found.rate < 0.65
    assert found.theory == consensus_step_size(spectrum.gap, spectrum.beta, found.quality.bound)
    assert found.theory < 0.01 * found.best


def test_quasi_global_momentum_needs_smaller_steps():
    """It repeats what gossip moves: the steps are longer by 1 / (1 - decay) in the end."""
    ring, compressor = make("ring", 4), text.parse("topk:ratio=.05")
    plain, momentum = (safe_step(ring, compressor, dimension=60, momentum=decay) for decay in (0.0, 0.8))
    assert momentum < 0.5 * plain


def test_beer_is_tuned_as_choco():
    ring, compressor = make("ring", 4), text.parse("sign")
    assert safe_step(ring, compressor, "beer", 100) == safe_step(ring, compressor, "choco", 100)


@pytest.mark.parametrize(
    ("spec", "measured", "bound"),
    [("sign", 2 / math.pi, 2 / math.pi), ("topk:ratio=.01", 0.083, 0.01), ("randomk:ratio=.01", 0.01, 0.01)],
)
def test_qualities(spec, measured, bound):
    found = measure_quality(fitting(text.parse(spec), Choco))
    assert found.measured == pytest.approx(measured, rel=0.1)
    assert found.bound == pytest.approx(bound, rel=0.1)


def test_refusals():
    with pytest.raises(ConfigurationError, match="dpsgd has no consensus step size"):
        tune(make("ring", 4), text.parse("none"), "dpsgd")
    with pytest.raises(ConfigurationError, match="ranks of ring send no messages"):
        tune(make("ring", 1), text.parse("sign"))
    with pytest.raises(ConfigurationError, match="never comes again"):
        safe_step(make("random-matching", 4), text.parse("sign"))


def test_choices():
    steps = [StepSize.read("auto")]
    own, other = Choice.read("topk:ratio=.01@.02,.1:.4:3", steps), Choice.read("sign", steps)
    assert [step.values for step in own.step_sizes] == [(0.02,), (0.1, 0.2, 0.4)]
    assert other.step_sizes is steps
    pairs = combinations(["choco", "dpsgd"], [own, Choice.read("none", steps)])
    wanted = [("choco", "topk:ratio=.01"), ("choco", "none"), ("dpsgd", "none")]
    assert [(mixing, choice.text) for mixing, choice in pairs] == wanted


@pytest.mark.parametrize("written", ["0", "-1", "nan", "big", "1:2", ".1:.2:1", ".1:.2:1000", "1:x:3"])
def test_step_sizes_that_are_none(written):
    with pytest.raises(ConfigurationError, match="is no consensus step size"):
        StepSize.read(written)
