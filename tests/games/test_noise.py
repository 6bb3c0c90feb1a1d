"""Noise oracles: unbiased, of the size they say, and a function of (seed, rank, call)."""

import math

import pytest
import torch

from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.games.draws import BLOCK, integers, normals
from hvd_qgenx.games.registry import make_noise

PLAYERS = {"theta": 3, "phi": 2}
POINT = torch.tensor([1.0, -2.0, 0.5, 3.0, 0.1], dtype=torch.float64)
CALLS = 20_000


def answers(text, calls=CALLS, seed=0, rank=0):
    oracle = make_noise(text).oracle(torch.clone, PLAYERS, seed, rank)
    return torch.stack([oracle(POINT) for _ in range(calls)])


@pytest.mark.parametrize(
    ("text", "second_moment"),
    [
        ("0.3", 5 * 0.3**2),
        ("gaussian:std=0.3", 5 * 0.3**2),
        ("absolute", 0.5**2),
        ("absolute:sigma=2", 2**2),
        ("relative", 0.5 * float(POINT @ POINT)),
        ("relative:c=3", 3 * float(POINT @ POINT)),
        ("random-coordinate", 4 * float(POINT @ POINT)),
        ("random-player", 1 * float(POINT @ POINT)),
    ],
)
def test_unbiased_and_as_large_as_it_says(text, second_moment):
    """Means of 20,000 calls, within 4.5 standard errors."""
    errors = answers(text) - POINT
    assert (errors.mean(0).abs() <= 4.5 * errors.std(0) / math.sqrt(CALLS)).all()
    squares = errors.square().sum(1)
    assert abs(float(squares.mean()) - second_moment) <= 4.5 * float(squares.std()) / math.sqrt(CALLS) + 1e-12


def test_none_is_the_operator_itself():
    assert torch.equal(answers("none", 3), POINT.expand(3, 5))


def test_random_coordinate_keeps_one_and_random_player_one_block():
    coordinates = answers("random-coordinate", 500)
    assert ((coordinates != 0).sum(1) == 1).all()
    assert torch.equal(coordinates.sum(1).unique(), (5 * POINT).unique())
    blocks = answers("random-player", 100).unique(dim=0)
    theta, phi = torch.zeros(2, 5, dtype=torch.float64)
    theta[:3], phi[3:] = 2 * POINT[:3], 2 * POINT[3:]
    assert sorted(blocks.tolist()) == sorted([theta.tolist(), phi.tolist()])


@pytest.mark.parametrize("text", ["relative", "random-coordinate", "random-player"])
def test_relative_noise_vanishes_at_a_solution(text):
    oracle = make_noise(text).oracle(torch.zeros_like, PLAYERS, 0, 0)
    assert not oracle(POINT).any()


@pytest.mark.parametrize("text", ["absolute", "relative", "random-coordinate"])
def test_a_function_of_seed_rank_and_call(text):
    first = answers(text, 40, seed=3, rank=1)
    assert torch.equal(first, answers(text, 40, seed=3, rank=1))
    assert not torch.equal(first, answers(text, 40, seed=3, rank=0))
    assert not torch.equal(first, answers(text, 40, seed=2, rank=1))


def test_global_generators_are_left_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    answers("absolute", 3)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("width", [1, 1000, 3 * BLOCK])
def test_draws_do_not_repeat_from_block_to_block(width):
    draws = normals(width, 1, 2)
    calls = 2 * (BLOCK // width) + 3
    rows = torch.stack([draws.next()[:1] for _ in range(calls)])
    assert len(rows.unique()) == calls


def test_integers_reach_every_value_evenly():
    draws = integers(4, 3, 0)
    counts = torch.bincount(torch.cat([draws.next() for _ in range(4000)]), minlength=4)
    assert counts.sum() == 12_000
    assert (counts - 3000).abs().max() < 4.5 * math.sqrt(12_000 * 0.25 * 0.75)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("absolut", "did you mean 'absolute'?"),
        ("absolute:c=1", "absolute has no parameter 'c'; it takes sigma"),
        ("absolute:sigma=much", "sigma must be a number, not 'much'"),
        ("absolute:sigma", "not of the form name:parameter=value"),
        ("random-player:p=1", "it takes no parameters"),
        ("relative:c=-1", "c must be a number from 0 on, not -1.0"),
        ("-0.5", "std must be a number from 0 on"),
        ("nan", "std must be a number from 0 on"),
        ("inf", "std must be a number from 0 on"),
    ],
)
def test_bad_input(text, sentence):
    with pytest.raises(ConfigurationError, match=sentence.replace("?", r"\?")):
        make_noise(text)
