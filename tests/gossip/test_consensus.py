"""Consensus: published errors, bits, stability, lengths of runs."""

import pytest
import torch

from compressors import text
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.gossip import consensus
from hvd_qgenx.gossip.messages import fitting
from hvd_qgenx.gossip.mixings.base import Rates
from hvd_qgenx.gossip.mixings.registry import MIXINGS
from hvd_qgenx.gossip.registry import make
from hvd_qgenx.gossip.spectrum import consensus_errors

pytestmark = pytest.mark.usefixtures("one_thread")


def run(topology, n, spec, gamma, rounds, mixing="choco", d=1000, **settings):
    kind = MIXINGS[mixing]
    start = consensus.gaussian_start(n, d)
    return consensus.run(
        start, kind, fitting(text.parse(spec), kind), make(topology, n), Rates(gamma), rounds, **settings
    )


@pytest.mark.parametrize("topology", ["ring", "one-peer-exponential"])
@pytest.mark.parametrize("mixing", ["dpsgd", "choco", "deepsqueeze"])
def test_without_compression_it_is_plain_mixing(topology, mixing):
    found = [moment.relative for moment in run(topology, 5, "none", 1.0, 20, mixing).moments]
    assert found == pytest.approx(list(consensus_errors(make(topology, 5), 20)), rel=0.2, abs=1e-25)


@pytest.mark.parametrize(
    ("topology", "n", "gamma", "messages", "published"),
    [("ring", 8, 1.0, 100, 1.1e-10), ("ring", 16, 1.0, 100, 6.9e-4), ("one-peer-exponential", 16, 0.8, 100, 3.0e-24)],
)
def test_published_errors_at_equal_messages(topology, n, gamma, messages, published):
    rounds = consensus.rounds_of(make(topology, n), messages)
    last = run(topology, n, "minmax:bits=4", gamma, rounds).last
    assert last.messages == messages
    assert last.relative < 3 * published


def test_top_k_converges_below_its_limit_and_grows_above():
    below, above = (run("ring", 8, "topk:ratio=.01", gamma, 1200, d=400) for gamma in (0.02, 0.15))
    assert below.last.relative < 1e-4
    assert not below.verdict()
    assert "does not converge: lower the consensus step size 0.15" in above.verdict()


def test_far_above_the_limit_a_run_ends_early():
    record = run("ring", 8, "minmax:bits=4", 4.0, 100)
    assert record.diverged_at is not None
    assert record.diverged_at < 20
    assert f"diverges in round {record.diverged_at}: the consensus step size 4 is above the" in record.verdict()
    assert all(moment.relative <= 1e6 for moment in record.moments)


def test_bits_are_those_of_payloads():
    compressor = fitting(text.parse("topk:ratio=.01"), MIXINGS["choco"])
    last = run("ring", 8, "topk:ratio=.01", 0.02, 30).last
    assert (last.round, last.messages) == (30, 60)
    assert last.bits == 30 * 2 * 8 * compressor.payload_bytes(1000)
    assert run("chain", 3, "none", 1.0, 3).last.messages == pytest.approx(3 * 4 / 3)


def test_a_run_may_end_where_ranks_agree():
    record = run("ring", 8, "none", 1.0, 1000, until=1e-6)
    assert record.last.relative <= 1e-6
    assert record.last.round < 60
    assert len(run("ring", 8, "none", 1.0, 1000).moments) == 201


def test_lead_agrees_too():
    assert run("ring", 8, "minmax:bits=4", 1.0, 200, "lead").last.relative < 1e-9


def test_the_start_stays():
    start = consensus.gaussian_start(4, 10, seed=5)
    kind = MIXINGS["dpsgd"]
    before = start.clone()
    consensus.run(start, kind, fitting(text.parse("none"), kind), make("ring", 4), Rates(), 3)
    assert torch.equal(start, before)


def test_lost_messages_spoil_replicas():
    assert run("ring", 8, "none", 1.0, 100, drop=0.1).last.relative > 1e-6


@pytest.mark.parametrize(
    ("topology", "n", "messages", "rounds"),
    [("ring", 8, 100, 50), ("ring", 8, 101, 51), ("one-peer-exponential", 8, 100, 100), ("random-matching", 4, 7, 7)],
)
def test_lengths_in_messages(topology, n, messages, rounds):
    assert consensus.rounds_of(make(topology, n), messages) == rounds


def test_idle_ranks_count_as_sending_nothing():
    topology = make("base-k", 5)
    rounds = consensus.rounds_of(topology, 10)
    sent = [sum(consensus.messages_in(topology, step) for step in range(end)) for end in (rounds - 1, rounds)]
    assert sent[0] < 10 <= sent[1] + 1e-9


@pytest.mark.parametrize("name", consensus.REFUSED)
def test_mixings_without_a_consensus_are_refused(name):
    with pytest.raises(ConfigurationError, match=f"no consensus by {name}: .*; use choco"):
        consensus.check(MIXINGS[name], make("ring", 4))


def test_ranks_that_send_nothing_have_no_number_of_messages():
    with pytest.raises(ConfigurationError, match="send no messages; give a number of rounds"):
        consensus.rounds_of(make("ring", 1), 10)
