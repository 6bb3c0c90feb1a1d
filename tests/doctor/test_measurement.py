"""All that is measured, among threads, and how it is told."""

import json

import pytest

import compressors
from hvd_qgenx.bench import workloads
from hvd_qgenx.doctor import report
from hvd_qgenx.doctor.candidates import Candidate
from hvd_qgenx.doctor.forecast import MODELLED, REHEARSED, Forecast
from hvd_qgenx.doctor.links import Links
from hvd_qgenx.doctor.measurement import Measurement, measure
from hvd_qgenx.exchange.cost import CodecSpeed, Ranks
from hvd_qgenx.transport import inprocess

NUMEL = 200_000


def run(ranks=3, hosts=1, **limits):
    made = {"fp16": compressors.make("fp16"), "minmax:bits=4": compressors.make("minmax", bits=4)}
    settings = {"seconds": 30.0, "most_bytes": 1e9, "most_error": 0.2, **limits}
    return inprocess.run(ranks, lambda t: measure(t, workloads.vector(NUMEL), made, **settings), hosts)


def test_all_ranks_come_to_the_same():
    everyone = run()
    found = everyone[0]
    assert [theirs.forecasts for theirs in everyone] == [found.forecasts] * 3
    assert {theirs.best for theirs in everyone} == {found.best}
    assert [str(one.candidate) for one in found.forecasts] == [
        *("none, allreduce", "fp16, allreduce", "minmax:bits=4, allgather", "minmax:bits=4, two-phase")
    ]
    assert {one.source for one in found.forecasts} == {REHEARSED}
    assert all(len(own) == 3 for own in found.codecs.values())
    assert found.ranks == Ranks(1, 3)
    assert found.uncompressed.candidate.text == "none"


def test_hosts_of_several_ranks_can_be_hierarchical():
    found = run(ranks=4, hosts=2)[0]
    assert "minmax:bits=4, hierarchical" in [str(one.candidate) for one in found.forecasts]
    assert found.ranks == Ranks(2, 2)


def test_bytes_are_bounded():
    found = run(most_bytes=1e6)[0]
    assert found.bytes_sent <= 1e6
    assert len(found.forecasts) == 4


def test_without_time_the_model_speaks():
    found = run(seconds=0.0)[0]
    assert {one.source for one in found.forecasts} == {MODELLED}
    assert all(one.seconds > 0 for one in found.forecasts)


def measured(best, bandwidths=(1e8, 1e8, 1e8), encode=(1e9, 1e9, 1e9)):
    pairs = [(0, 1), (0, 2), (1, 2)]
    made = compressors.make("minmax", bits=4)
    forecasts = [
        Forecast(Candidate("none", "allreduce", compressors.make("none")), 0.5, REHEARSED, 0.0),
        Forecast(Candidate("minmax:bits=4", "two-phase", made), 0.08, REHEARSED, 0.03),
        Forecast(Candidate("minmax:bits=2", "two-phase", made), 0.04, REHEARSED, 0.8),
    ]
    links = Links(
        (0, 1, 2), ("a", "b", "c"), dict.fromkeys(pairs, 4e-4), dict(zip(pairs, bandwidths, strict=True)), 1e-3, 100
    )
    codecs = {"minmax:bits=4": [CodecSpeed(4, speed, 2e9) for speed in encode]}
    return Measurement(
        workloads.vector(1000), Ranks(3), links, codecs, forecasts, forecasts[best], 0.2, seconds=9.0, bytes_sent=100
    )


def test_advice_ends_in_options():
    said = report.advice(measured(best=1)).splitlines()
    assert said[0] == "For matrix, 1,000 gradients, on 3 ranks:"
    assert said[1] == (
        "Compress: minmax:bits=4, two-phase takes 80 ms, 6.2 times as fast as no compression with 500 ms."
    )
    assert said[2] == "  hvd-qgenx gan --compressor minmax --bits 4 --exchange two-phase"


def test_advice_not_to_compress():
    said = report.advice(measured(best=0)).splitlines()
    assert said[1] == "Do not compress here: an exchange takes 500 ms without, 80 ms with minmax:bits=4, two-phase."
    assert said[2] == "  hvd-qgenx gan --compressor none --exchange allreduce"


def test_the_table_is_sorted_and_marks_large_errors():
    rows = report.forecasts(measured(best=1)).rows
    assert [row[0] for row in rows] == ["minmax:bits=2", "minmax:bits=4", "none"]
    assert rows[0][-1] == "0.8 (too large)"
    assert rows[1][-1] == "0.03"
    assert rows[1][3] == "6.25"


@pytest.mark.parametrize(
    ("kinds", "told"),
    [
        ({}, []),
        ({"bandwidths": (1e8, 1e8, 1e7)}, ["b to c is much slower than the typical 100 MB/s"]),
        (
            {"encode": (1e9, 4e8, 9e8)},
            ["rank 1 encodes minmax:bits=4 at 400 MB/s of float32, rank 0 at 1 GB/s"],
        ),
    ],
)
def test_what_holds_others_up_is_named(kinds, told):
    assert [finding.text for finding in report.remarks(measured(best=1, **kinds))] == told


def test_links_in_a_sentence():
    said = report.links(measured(best=1))
    assert said.startswith(
        "Between hosts: typically 100 MB/s in each direction, at least 100 MB/s; 0.4 ms for one byte; "
    )


def test_json_has_all_of_it():
    found = json.loads(json.dumps(report.as_dict([], measured(best=1))))["measurement"]
    assert [one["best"] for one in found["forecasts"]] == [False, True, False]
    assert found["links"]["pairs"][0] == {"between": ["a", "b"], "latency": 4e-4, "bandwidth": 1e8}
    assert (found["ranks"], found["hosts"], found["compress"]) == (3, 3, True)
