"""Decentralized methods: gradients at workers' own points, runs on any number of ranks, orders of messages, costs."""

import numpy as np
import pytest
import torch

from compressors import text
from hvd_qgenx.gossip.messages import fitting
from hvd_qgenx.gossip.mixings.choco import Choco
from hvd_qgenx.gossip.mixings.registry import MIXINGS
from hvd_qgenx.gossip.registry import make
from hvd_qgenx.tasks.logistic.decentralized import Decentralized, Trial, descend_apart
from hvd_qgenx.tasks.logistic.descent import descend
from hvd_qgenx.tasks.logistic.estimators import Minibatch, Sampling
from hvd_qgenx.tasks.logistic.experiment import Experiment
from hvd_qgenx.tasks.logistic.methods import GD
from hvd_qgenx.tasks.logistic.optimum import find_optimum
from hvd_qgenx.tasks.logistic.schedule import Outcome, Schedule
from hvd_qgenx.tasks.logistic.workers import Workers
from hvd_qgenx.transport import inprocess
from tests.tasks.logistic.problems import points, problem

pytestmark = pytest.mark.usefixtures("one_thread")

SORTED = problem(l2=0.05, split="sorted", workers=5)
OPTIMUM = find_optimum(SORTED)


def run(mixing, iterations, spec="none", topology="ring", lr=1.0, gamma=1.0, transport=None, schedule=None, **settings):
    workers = Workers(5, transport or inprocess.InProcess())
    method = Decentralized(mixing, text.parse(spec), make(topology, 5), (gamma,), **{"full": True, **settings})
    trial, sampling = Trial(lr, gamma), Sampling(2, 0.2)
    return descend_apart(SORTED, method, workers, iterations, OPTIMUM, sampling, trial, 3, schedule)


def test_gradients_at_own_points():
    """The same bits as those of every worker alone at its point."""
    own = points(SORTED, 5)
    batch = Minibatch(SORTED, range(5), Sampling(3, 0.2), 0).draw()
    for chosen in (batch, SORTED.all_of(range(5))):
        found = SORTED.gradients(chosen, own)
        for worker in range(5):
            assert torch.equal(found[worker], SORTED.gradients(chosen, own[worker])[worker])


@pytest.mark.parametrize("ranks", [2, 3])
@pytest.mark.parametrize("settings", [{}, {"full": False, "drop": 0.1}, {"momentum": 0.9, "overlap": True}], ids=str)
@pytest.mark.parametrize(
    ("mixing", "spec", "topology"),
    [("choco", "minmax:bits=3", "base-k"), ("beer", "topk:ratio=.3", "ring"), ("relay", "none", "chain")],
)
def test_ranks_find_what_one_process_finds(mixing, spec, topology, settings, ranks):
    def found(transport=None):
        return run(mixing, 12, spec, topology, 0.5, 0.3, transport, **settings)

    assert inprocess.run(ranks, found) == [found()] * ranks


def test_on_a_complete_graph_plain_gossip_is_gradient_descent():
    found = run("dpsgd", 30, topology="complete").moments
    workers = Workers(5, inprocess.InProcess())
    wanted = descend(SORTED, GD, workers, 30, OPTIMUM, Sampling(2, 0.2), 1.0).moments
    assert [moment.gap for moment in found] == pytest.approx([moment.gap for moment in wanted], rel=1e-10)
    assert found[-1].worst_gap == pytest.approx(found[-1].gap)
    assert found[-1].consensus < 1e-25


def test_corrected_methods_reach_the_optimum_and_others_end_beside_it():
    """Labels are sorted, so the workers' optima differ; quasi-global momentum helps."""
    plain, choco, momentum = (
        run(name, 600, spec, gamma=gamma, lr=lr, momentum=mu).moments[-1]
        for name, spec, gamma, lr, mu in (
            ("dpsgd", "none", 1.0, 1.0, 0.0),
            ("choco", "minmax:bits=4", 1.0, 1.0, 0.0),
            ("choco", "minmax:bits=4", 1.0, 0.1, 0.9),
        )
    )
    exact = [run(name, 600, "minmax:bits=4", lr=1.0).moments[-1] for name in ("lead", "beer", "motef")]
    relay = run("relay", 600, topology="chain", lr=0.5).moments[-1]
    assert choco.gap == pytest.approx(plain.gap, rel=0.05)
    assert plain.worst_gap > plain.gap > 1e-5
    assert momentum.gap < 0.1 * choco.gap
    for moment in (*exact, relay):
        assert moment.worst_gap < 1e-10


def test_overlapping_messages_are_one_step_old():
    """CHOCO as Algorithm 1 of Koloskova et al. (ICLR 2020): a message of x(t) is mixed in after the gradient there."""
    moments = run("choco", 8, "sign", lr=0.7, gamma=0.3, overlap=True).moments
    w, everything = make("ring", 5).matrix(0), SORTED.all_of(range(5))
    x, known = np.zeros((5, SORTED.dimension)), np.zeros((5, SORTED.dimension))
    for k in range(8):
        away = x - known
        known = known + np.abs(away).mean(1, keepdims=True) * np.where(away >= 0, 1.0, -1.0)
        half = x - 0.7 * SORTED.gradients(everything, torch.from_numpy(x)).numpy()
        x = half + 0.3 * (w @ known - known)
        mean = torch.from_numpy(x.mean(0))
        assert moments[k + 1].gap == pytest.approx(SORTED.value(mean) - OPTIMUM.value, rel=1e-5)
        assert moments[k + 1].consensus == pytest.approx(((x - x.mean(0)) ** 2).sum() / 5, rel=1e-4)


@pytest.mark.parametrize(("mixing", "spec", "factor"), [("choco", "topk:ratio=.3", 1), ("beer", "sign", 2)])
def test_bytes_are_payloads_times_neighbours(mixing, spec, factor):
    size = fitting(text.parse(spec), Choco).payload_bytes(SORTED.dimension)
    last = run(mixing, 7, spec, gamma=0.1, full=False).moments[-1]
    assert last.megabytes == pytest.approx(7 * 2 * factor * size / 1e6)
    assert last.passes == pytest.approx(7 * 2 / 8)


@pytest.mark.parametrize("name", MIXINGS)
def test_every_mixing_runs(name):
    moments = run(name, 3, topology="chain").moments
    assert [moment.k for moment in moments] == [0, 1, 2, 3]
    assert all(np.isfinite(moment.gap) for moment in moments)


def test_a_step_that_is_too_long_ends_the_run():
    record = run("choco", 100, lr=1e15)
    assert (record.diverged_at, len(record.moments), record.consensus_step_size) == (1, 1, 1.0)


def test_laws_of_step_sizes():
    def steps(law):
        schedule = Schedule(law, tau=4.0, factor=0.5)
        return [schedule.step_size(0.2, k, k / 2, 0.1) for k in range(4)]

    assert steps("constant") == [0.2] * 4
    assert steps("decay") == pytest.approx([0.2 / (0.1 * (k + 4)) for k in range(4)])
    assert steps("bottou") == pytest.approx([0.2 / (1 + 0.02 * k) for k in range(4)])
    assert steps("epoch-decay") == [0.2, 0.2, 0.1, 0.1]
    schedule = Schedule("decay", tau=7.0)
    assert schedule.step_size(schedule.beginning_with(0.3, 0.1), 0, 0.0, 0.1) == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("average", "weights"),
    [("mean", [1, 1, 1]), ("t+tau", [3, 4, 5]), ("(t+tau)^2", [9, 16, 25]), ("final", [0, 0, 1])],
)
def test_averages_of_iterates(average, weights):
    outcome = Outcome(Schedule(average=average, tau=2.0), torch.zeros(2, 1))
    iterates = np.array([[[1.0], [2.0]], [[5.0], [-3.0]], [[0.5], [8.0]]])
    for t, iterate in enumerate(iterates, 1):
        outcome.add(t, torch.from_numpy(iterate).clone())
    assert np.allclose(outcome.value.numpy(), np.average(iterates, axis=0, weights=weights))


@pytest.mark.parametrize("settings", [{"law": "decai"}, {"average": "t+ta"}])
def test_unknown_laws_and_averages(settings):
    with pytest.raises(ValueError, match="did you mean"):
        Schedule(**settings)


def test_the_best_step_size_of_each_method_counts():
    apart = {"choco": Decentralized("choco", text.parse("none"), make("ring", 5), (0.5, 1.0), full=True)}
    workers = Workers(5, inprocess.InProcess())
    experiment = Experiment(SORTED, OPTIMUM, workers, Sampling(2, 0.2), 40, [1e-3, 2.0, 1e9], apart)
    assert len(experiment.trials("choco")) == 6
    (record,) = experiment.best("choco", [0])
    assert (record.lr, record.consensus_step_size) == (2.0, 1.0)
    (record,) = experiment.best("gd", [0])
    assert (record.lr, record.consensus_step_size) == (2.0, None)


def test_default_step_sizes_are_stable():
    apart = {
        name: Decentralized("choco", text.parse("none"), make("ring", 5), full=full)
        for name, full in (("full", True), ("mini", False))
    }
    experiment = Experiment(SORTED, OPTIMUM, Workers(5, inprocess.InProcess()), Sampling(2, 0.2), 200, None, apart)
    assert experiment.step_size("full") == pytest.approx(1 / SORTED.expected_smoothness(SORTED.samples))
    assert all(experiment.run(name, 0).moments[-1].gap < 0.05 for name in apart)
