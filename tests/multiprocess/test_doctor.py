"""hvd-qgenx doctor under the real horovodrun."""

import json

import pytest

from tests import launch

pytestmark = pytest.mark.horovod


def doctor(ranks, *options, **environment):
    return launch.run(launch.horovodrun(ranks, launch.COMMAND, "doctor", *options), **environment)


def test_ranks_look_measure_and_advise(tmp_path):
    file = tmp_path / "found.json"
    options = ("--numel", "30000", "--seconds", "2", "--compressor", "minmax:bits=4", "--json", str(file))
    done = doctor(3, *options, HOROVOD_AUTOTUNE="0", OMPI_MCA_btl_tcp_eager_limit="1000")
    assert done.returncode == 0, done.stderr
    found = json.loads(file.read_text())
    findings = {finding["subject"]: finding for finding in found["findings"]}
    assert findings["Horovod"]["level"] == "ok"
    assert findings["Horovod"]["ranks"] == []
    assert "OMPI_MCA_btl_tcp_eager_limit" in findings["environment"]["text"]
    measured = found["measurement"]
    assert (measured["numel"], measured["ranks"], measured["hosts"]) == (30_000, 3, 1)
    ways = [(one["compressor"], one["exchange"]) for one in measured["forecasts"]]
    assert ways == [("none", "allreduce"), ("minmax:bits=4", "allgather"), ("minmax:bits=4", "two-phase")]
    assert all(one["seconds"] > 0 for one in measured["forecasts"])
    assert sum(one["best"] for one in measured["forecasts"]) == 1
    assert [len(speeds) for speeds in measured["codecs"].values()] == [3]
    assert measured["bytes_sent"] <= 2e9
    best = next(one for one in measured["forecasts"] if one["best"])
    assert f"hvd-qgenx gan {best['options']}" in done.stdout
    assert done.stdout.count("Horovod  ") == 1


def test_one_rank_has_nothing_to_measure():
    done = doctor(1)
    assert done.returncode == 0, done.stderr
    assert "nothing is measured" in done.stdout


def test_bad_input_ends_all_ranks():
    done = doctor(2, "--compressor", "minmx")
    assert done.returncode != 0
    assert "minmx" in done.stderr + done.stdout
    assert "did you mean" in done.stderr + done.stdout
