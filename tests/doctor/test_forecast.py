"""Fits on times that follow known laws, and choices on machines of which the best is known."""

import math

import pytest

import compressors
from hvd_qgenx.doctor import forecast
from hvd_qgenx.doctor.candidates import Candidate, candidates
from hvd_qgenx.doctor.forecast import EXTRAPOLATED, MODELLED, REHEARSED, Forecast, best
from hvd_qgenx.doctor.links import Links
from hvd_qgenx.doctor.rehearsal import Rehearsal
from hvd_qgenx.exchange import TwoPhase
from hvd_qgenx.exchange.cost import CodecSpeed, Machine, Ranks

TEXTS = ("fp16", "minmax:bits=8", "minmax:bits=4", "minmax:bits=2", "rotated:bits=2")
BITS = {"none": 32, "fp16": 16, "minmax:bits=8": 8, "minmax:bits=4": 4, "minmax:bits=2": 2, "rotated:bits=2": 2}


def made():
    return {text: compressors.make(text.partition(":")[0], **bits(text)) for text in TEXTS}


def bits(text):
    return {"bits": BITS[text]} if "bits" in text else {}


def never(_):
    raise AssertionError("the model is not to be asked")


def test_the_asked_size_was_rehearsed():
    rehearsal = Rehearsal({1000: [9.0], 8000: [3.0, 1.0, 2.0]})
    assert forecast.seconds(rehearsal, 8000, never) == (2.0, REHEARSED)


def optimist(numel):
    return 1e-6 * numel


def test_a_line_through_the_two_largest_sizes():
    """3 ms and 2 us a coordinate; a size at which something else holds is left out."""
    seconds = {size: [0.003 + 2e-6 * size] for size in (1000, 8000)}
    found, source = forecast.seconds(Rehearsal({10: [7.0], **seconds}), 64_000, optimist)
    assert found == pytest.approx(0.003 + 2e-6 * 64_000)
    assert source == EXTRAPOLATED


def test_one_outlier_does_not_bend_the_line():
    seconds = {size: [2e-6 * size, 1.0, 2e-6 * size] for size in (1000, 8000)}
    assert forecast.seconds(Rehearsal(seconds), 64_000, optimist)[0] == pytest.approx(2e-6 * 64_000)


@pytest.mark.parametrize("earlier", [0.5, 0.0359])
def test_the_line_rises_no_less_than_the_model(earlier):
    found = forecast.seconds(Rehearsal({1000: [earlier], 8000: [0.036]}), 64_000, optimist)[0]
    assert found == pytest.approx(0.036 + 1e-6 * 56_000)


def test_the_line_rises_no_more_than_in_proportion():
    found = forecast.seconds(Rehearsal({1000: [0.001], 8000: [0.016]}), 64_000, optimist)[0]
    assert found == pytest.approx(8 * 0.016)


def test_one_size_grows_as_the_model_does():
    def model(numel):
        return 0.1 + 1e-5 * numel

    found, source = forecast.seconds(Rehearsal({8000: [0.36]}), 64_000, model)
    assert found == pytest.approx(0.36 * model(64_000) / model(8000))
    assert source == EXTRAPOLATED


def test_nothing_was_rehearsed():
    assert forecast.seconds(None, 64_000, lambda numel: 1e-6 * numel) == (0.064, MODELLED)


def links(bandwidth, latency=1e-4, hosts=("a", "b", "c")):
    pairs = [(0, 1), (0, 2), (1, 2)]
    return Links((0, 1, 2), hosts, dict.fromkeys(pairs, latency), dict.fromkeys(pairs, bandwidth), 1e-3, 0)


def test_the_model_takes_what_was_measured():
    codec = CodecSpeed(4, 1e10, 2e10)
    found = forecast.modelled(links(1.25e8), codec, "two-phase", Ranks(3), 3_000_000)
    machine = Machine(1.25e8, 1e-4, 0.0, 1.25e8)
    assert found == TwoPhase.cost(machine, Ranks(3), 3_000_000, codec, slices=2)
    sums = forecast.modelled(links(1.25e8), CodecSpeed(), "allreduce", Ranks(3), 3_000_000)
    assert sums == pytest.approx(1e-3 + 4e-4 + 4 / 3 * 12e6 / 1.25e8)


def test_on_one_host_pairs_share_its_memory():
    """Of three ranks one pair at a time exchanges, both ways at once."""
    found = forecast.modelled(links(1e9, 0.0, ("a", "a", "a")), CodecSpeed(), "allreduce", Ranks(1, 3), 3_000_000)
    assert found == pytest.approx(1e-3 + 3 * 4 / 3 * 12e6 / 2e9)


def choice(bandwidth, speed, most_error=0.2):
    """The doctor's on a machine with such links and codecs."""
    numel, found = 10_000_000, links(bandwidth)

    def model(candidate, numel):
        codec = CodecSpeed(BITS[candidate.text], speed, speed) if candidate.compresses else CodecSpeed()
        return forecast.modelled(found, codec, candidate.exchange, Ranks(3), numel)

    everything = [forecast.forecast(one, numel, None, model) for one in candidates(made(), hierarchical=False)]
    return best(everything, most_error).candidate


def test_slow_links_want_few_bits():
    assert str(choice(1.25e6, 1e10)) == "rotated:bits=2, two-phase"


def test_large_errors_can_be_allowed():
    """Both of 2 bits take as long, and the more exact one is taken."""
    assert str(choice(1.25e6, 1e10, most_error=1.0)) == "rotated:bits=2, two-phase"


def test_fast_links_want_no_compression():
    assert str(choice(1e11, 1e9)) == "none, allreduce"


def test_slow_codecs_want_halves():
    """A codec as slow as the link gains nothing; fp16 codes as little as it can here."""
    assert choice(1.25e8, 1.25e7).text == "none"


def timed(text, seconds, error):
    return Forecast(Candidate(text, "two-phase", compressors.make("minmax")), seconds, REHEARSED, error)


def test_of_equals_the_most_exact():
    coarse, fine, slow = timed("coarse", 1.0, 0.1), timed("fine", 1.04, 0.01), timed("exact", 1.06, 0.0)
    assert best([slow, coarse, fine], 0.2) is fine


def test_errors_over_the_limit_are_not_chosen():
    wild, tame = timed("wild", 1.0, 0.8), timed("tame", 2.0, 0.1)
    assert best([wild, tame], 0.2) is tame
    assert best([wild, tame], 1.0) is wild


def test_candidates():
    found = [str(one) for one in candidates(made(), hierarchical=False)]
    assert found[:4] == ["none, allreduce", "fp16, allreduce", "minmax:bits=8, allgather", "minmax:bits=8, two-phase"]
    assert len(found) == 2 + 2 * 4
    assert "minmax:bits=4, hierarchical" in [str(one) for one in candidates(made(), hierarchical=True)]


def test_options_are_those_of_a_run():
    one = Candidate("minmax:bits=4,bucket_size=512", "two-phase", compressors.make("minmax"))
    assert one.options == "--compressor minmax --bits 4 --bucket-size 512 --exchange two-phase"


def test_errors_are_measured():
    found = {one.text: one.error() for one in candidates(made(), hierarchical=False)}
    assert found["none"] == 0
    assert found["fp16"] < found["minmax:bits=8"] < found["minmax:bits=4"] < found["rotated:bits=2"]
    assert found["minmax:bits=2"] > 0.2 > found["rotated:bits=2"]
    assert math.isclose(found["minmax:bits=4"], 0.0315, rel_tol=0.1)
