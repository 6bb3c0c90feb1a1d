"""Plays: what each method does, what it costs, and how fast it converges."""

import math
from dataclasses import replace
from functools import cache, partial

import numpy as np
import pytest
import torch

import compressors
from hvd_qgenx import exchange
from hvd_qgenx.games.bilinear import LinearWGAN, from_spectrum
from hvd_qgenx.games.compare import Play, always, compare
from hvd_qgenx.games.dirac import DiracGAN
from hvd_qgenx.games.matrix import rock_paper_scissors
from hvd_qgenx.games.play import Moment, Record, play, record_times
from hvd_qgenx.games.registry import METHODS, make_noise
from hvd_qgenx.games.results import Results
from hvd_qgenx.games.stochastic import StochasticBilinear
from hvd_qgenx.transport.inprocess import InProcess, run

TABLE = partial(from_spectrum, 10, 0.3, 1.0)
"""The bilinear game of the tables, for a seed."""


def alone(game, method, iterations, **options):
    return play(game, method, compressors.make("none"), exchange.make("allgather", InProcess()), iterations, **options)


@cache
def results(methods, noise="none", workers=1, compressor="none", seeds=1, iterations=1000, game=TABLE):
    made = (compressor, compressors.make(compressor))
    plays = [
        Play(game, method, made, (noise, make_noise(noise)), workers, seed, iterations, "allgather")
        for method in methods.split()
        for seed in range(seeds)
    ]
    return Results("game", "gap", plays, list(compare(plays, jobs=1)))


def qgenx_by_the_book(variant, game, iterations, oracles):
    """The update written with all vectors of all workers in one place; yields X_t, the average and gamma_t."""
    workers, start = len(oracles), game.start.numpy()
    x, y, mean, squares = start.copy(), np.zeros_like(start), np.zeros_like(start), 0.0
    gamma, last = float(workers), np.zeros((workers, len(start)))

    def ask(point):
        return np.stack([oracle(torch.from_numpy(point)).numpy() for oracle in oracles])

    for t in range(1, iterations + 1):
        first = {"da": lambda: np.zeros_like(last), "de": lambda: ask(x), "optda": lambda: last}[variant]()  # noqa: B023
        half = x - gamma * first.mean(0)
        last = ask(half)
        y = y - last.mean(0)
        squares += ((first - last) ** 2).sum()
        gamma = workers / math.sqrt(1 + squares)
        x = start + gamma * y
        mean += (half - mean) / t
        yield x, mean, gamma


@pytest.mark.parametrize("variant", ["da", "de", "optda"])
@pytest.mark.parametrize("noise", ["none", "absolute", "relative"])
def test_qgenx_is_the_algorithm_of_the_paper(variant, noise):
    game, kind = TABLE(4), make_noise(noise)
    oracles = [kind.oracle(game.operator, game.players, 4, rank) for rank in range(3)]
    make = partial(exchange.make, "allgather")
    record = run(
        3, lambda t: play(game, f"qgenx-{variant}", compressors.make("none"), make(t), 60, noise=kind, seed=4)
    )[0]
    for moment, (x, mean, gamma) in zip(record.moments[1:], qgenx_by_the_book(variant, game, 60, oracles), strict=True):
        assert moment.gap == pytest.approx(game.gap(torch.from_numpy(mean)), rel=1e-9)
        assert moment.gamma == pytest.approx(gamma, rel=1e-9)
        if variant != "optda":  # whose players are at X_{t+1/2}
            assert moment.distance == pytest.approx(game.distance(torch.from_numpy(x)), rel=1e-8)


def test_the_average_is_of_the_points_where_operators_were_taken():
    """SGDA from (2, .5) with step .1: (2, .5), (1.95, .7), (1.88, .895). Extra-gradient averages the extrapolated."""
    game = LinearWGAN(clip=None)
    points = np.array([[2, 0.5], [1.95, 0.7], [1.88, 0.895]])
    for t, moment in enumerate(alone(game, "sgda", 3, lr=0.1).moments[1:], 1):
        assert moment.gap == pytest.approx(np.linalg.norm(points[:t].mean(0)))
        assert moment.gamma == 0.1
    first = alone(game, "extra-gradient", 1, lr=0.1).moments[1]
    assert first.gap == pytest.approx(np.linalg.norm([2 - 0.05, 0.5 + 0.2]))
    assert first.shown == pytest.approx((2 - 0.1 * 0.7, 0.5 + 0.1 * 1.95))


@pytest.mark.parametrize(
    ("method", "calls", "exchanges"),
    [
        *((name, 7, 7) for name in ("sgda", "optimistic", "adam", "optimistic-adam", "qgenx-da", "qgenx-optda")),
        *((name, 7, 7) for name in ("qoda", "qoda-separated")),
        *((name, 14, 14) for name in ("extra-gradient", "extra-adam", "qgenx-de", "alternating")),
        ("past", 8, 8),  # one before the first iteration
    ],
)
def test_oracle_calls_exchanges_and_bytes(method, calls, exchanges):
    game = LinearWGAN(3)
    record = run(2, lambda t: play(game, method, compressors.make("none"), exchange.make("allgather", t), 7))[1]
    end = record.moments[-1]
    assert (end.oracle_calls, end.exchanges) == (calls, exchanges)
    sent = exchanges * 6 * 8 // (2 if method == "alternating" else 1)  # each of its exchanges carries one player
    adaptive = 7 * 8 if method.startswith(("qgenx", "qoda")) else 0  # one float64 an iteration
    assert end.megabytes == pytest.approx((sent + adaptive) / 1e6)


def test_every_method_is_played_here():
    assert len(METHODS) == 13


def test_rates_without_noise():
    expected = {"qgenx-de": -1, "qgenx-optda": -1, "extra-gradient": -1, "qgenx-da": -0.5, "qoda-separated": -1}
    found = results(" ".join(expected))
    slopes = {curves.case.method: found.slope(curves) for curves in found.curves}
    assert slopes == pytest.approx(expected, abs=0.1)


def test_rates_of_quantized_workers():
    found = results("qgenx-de qgenx-optda", workers=3, compressor="uniform", iterations=300)
    for curves in found.curves:
        assert found.slope(curves) == pytest.approx(-1, abs=0.1)


@pytest.mark.parametrize("method", ["qgenx-de", "qgenx-optda", "qoda-separated"])
@pytest.mark.parametrize(("noise", "slope"), [("absolute", -0.5), ("relative", -1)])
def test_rates_under_noise(method, noise, slope):
    found = results(method, noise, seeds=4)
    assert found.slope(found.curves[0]) == pytest.approx(slope, abs=0.1)


@pytest.mark.parametrize(
    ("method", "noise", "value"),
    [
        ("qgenx-da", "none", 3.6e-2),
        ("qgenx-de", "none", 1.25e-3),
        ("qgenx-optda", "none", 2.1e-3),
        ("extra-gradient", "none", 3.4e-3),
        ("qgenx-de", "absolute", 3.4e-2),
        ("qgenx-optda", "absolute", 3.1e-2),
        ("qgenx-de", "relative", 3.8e-3),
        ("qgenx-optda", "relative", 5.1e-3),
    ],
)
def test_gaps_after_a_thousand_iterations(method, noise, value):
    """Against an independent implementation's mean of three games; games differ by some 20 per cent."""
    (curves,) = results(method, noise, seeds=4).curves
    mean, deviation = curves.at(1000, curves.gaps)
    assert mean == pytest.approx(value, abs=3 * deviation / math.sqrt(4) + 0.15 * value)


def test_four_workers_halve_the_error_of_absolute_noise():
    one, four = (results("qgenx-de", "absolute", workers, seeds=2, iterations=500).curves[0] for workers in (1, 4))
    assert one.gaps[:, 100:].mean() / four.gaps[:, 100:].mean() == pytest.approx(2, rel=0.2)


def test_the_last_iterate_of_dual_averaging_does_not_converge_that_of_the_others_does():
    found = results("qgenx-de qgenx-optda extra-gradient qgenx-da")
    distances = {curves.case.method: curves.distances[0, -1] for curves in found.curves}
    assert distances["qgenx-da"] > 0.5
    assert distances["qgenx-de"] < 1e-9
    assert distances["qgenx-optda"] < 1e-3


def test_sgda_diverges_and_its_play_ends():
    """Norms grow by at most (1 + .3^2)^(1/2) an iteration: 1e12 takes at least 641."""
    (record,) = results("sgda", iterations=2000).records
    assert 641 <= record.diverged_at <= 800
    assert record.moments[-1].t < record.diverged_at
    assert math.isfinite(record.moments[-1].gap)


def test_with_curvature_every_method_converges():
    game = partial(from_spectrum, 10, 0.3, 1.0, mu=0.3)
    found = results("sgda extra-gradient qgenx-da qgenx-de qgenx-optda", game=game, iterations=400)
    for curves in found.curves:
        assert curves.gaps[0, -1] < 1e-2 * curves.gaps[0, 0]
        assert found.slope(curves) < -0.9


@pytest.mark.parametrize("method", ["extra-gradient", "past", "optimistic", "qgenx-de", "qgenx-optda"])
def test_rock_paper_scissors(method):
    """The duality gap of the average falls like 1/t, and the last iterate converges."""
    end = alone(rock_paper_scissors(), method, 1000).moments[-1]
    assert 0 <= end.gap < 0.01
    assert end.distance < 1e-3


def test_points_stay_on_the_simplices():
    game = rock_paper_scissors(5)
    seen = []
    game.operator = lambda point: seen.append(point.clone()) or type(game).operator(game, point)
    for method in METHODS:
        alone(game, method, 20)
    for strategy in torch.stack(seen).view(-1, 5):
        assert float(strategy.sum()) == pytest.approx(1)
        assert strategy.min() >= 0


def test_the_stochastic_game_needs_an_adaptive_step():
    """The samples' noise grows with the distance: extra-gradient with a constant step diverges (Chavdarova et al.)."""
    game = StochasticBilinear(10, seed=0)
    constant, adaptive = (alone(game, method, 1500).moments for method in ("extra-gradient", "qgenx-de"))
    assert constant[-1].distance > 100 * constant[0].distance
    assert adaptive[-1].gap < 0.8 * adaptive[0].gap
    assert adaptive[-1].distance < adaptive[0].distance


def test_the_dirac_gan_needs_a_centred_penalty():
    """Mescheder et al.: gradient steps circle; with R1 they converge; WGAN-GP's penalty does not help."""

    def distance(**game):
        return alone(DiracGAN(**game), "sgda", 1000, lr=0.1).moments[-1].distance

    assert distance() > math.sqrt(2)
    assert 0.1 < distance(loss="ns-gan") < math.sqrt(2)  # slower than any geometric rate
    assert distance(penalty=1.0) < 1e-12
    assert distance(loss="wgan", penalty=1.0, centre=1.0) > 0.5


def test_extrapolation_helps_adam():
    game = LinearWGAN(clip=None)
    adam, extra, optimistic = (
        alone(game, method, 2000).moments[-1].distance for method in ("adam", "extra-adam", "optimistic-adam")
    )
    assert max(extra, optimistic) < adam / 5


def test_records_of_short_and_long_plays():
    assert record_times(4) == [0, 1, 2, 3, 4]
    times = record_times(12_345)
    assert {0, 1, 10, 100, 1000, 10_000, 12_345} <= set(times)
    assert times == sorted(set(times))
    assert len(times) < 200
    assert [m.t for m in alone(LinearWGAN(), "sgda", 1234).moments] == record_times(1234)


def test_slope_and_statistics_of_seeds():
    found = results("qgenx-de", "absolute", seeds=3, iterations=300)
    (curves,) = found.curves
    inside = slice(30, 301)
    wanted = np.polyfit(np.log(np.arange(301)[inside]), np.log(curves.gaps.mean(0)[inside]), 1)[0]
    assert found.slope(curves) == pytest.approx(wanted)
    last = curves.gaps[:, -1]
    assert curves.at(300, curves.gaps) == pytest.approx((last.mean(), last.std(ddof=1)))
    assert curves.at(301, curves.gaps) is None


def test_rates_are_fitted_to_two_decades_of_long_plays():
    """gap = 7 / sqrt(t) up to 100 and 70 / t after it; a play that diverged has no rate."""

    def record(times, diverged_at=None):
        gaps = {t: 70 / max(t, 10 * t**0.5) for t in times}
        return Record([Moment(t, gap, 1.0, 0.0, t, t, 1.0, (0.0, 0.0)) for t, gap in gaps.items()], diverged_at)

    (play,) = results("sgda", iterations=1).plays
    plays = [replace(play, iterations=10_000), replace(play, iterations=10_000, method="past")]
    times = [1, 10, 50, 100, 1000, 10_000]
    found = Results("game", "gap", plays, [record(times), record(times[:3], diverged_at=77)])
    assert found.fit == (100, 10_000)
    assert [found.slope(curves) for curves in found.curves] == [pytest.approx(-1), None]
    assert found.summary()["cases"][1]["diverged_at"] == [77]
    assert "diverges at t = 77" in found.table()


def test_a_seed_decides_game_noise_and_rounding():
    one, two = (results.__wrapped__("qgenx-de", "absolute", 2, "uniform", 2, 50) for _ in range(2))
    assert one.rows() == two.rows()
    gaps = one.curves[0].gaps
    assert (gaps[0] != gaps[1]).all()


def test_processes_find_what_one_process_finds():
    plays = [
        Play(
            always(LinearWGAN(2)),
            method,
            ("uniform", compressors.make("uniform")),
            ("absolute", make_noise("absolute")),
            2,
            0,
            20,
            "allgather",
        )
        for method in ("sgda", "qgenx-de", "past")
    ]
    assert list(compare(plays, jobs=2)) == list(compare(plays, jobs=1))
