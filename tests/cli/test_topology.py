"""hvd-qgenx topology: numbers of the table, its files, and bad input."""

import json

import pytest
from click.testing import CliRunner
from PIL import Image

from hvd_qgenx.cli import main
from hvd_qgenx.gossip.registry import TOPOLOGIES


def call(*arguments: object):
    return CliRunner().invoke(main, ["topology", *(str(argument) for argument in arguments)])


def test_files_and_numbers(tmp_path):
    out = tmp_path / "run"
    result = call("ring", "base-k", "one-peer-exponential", "--ranks", 8, "--ranks", 5, "--json", "--out", out)
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)
    assert rows == json.loads((out / "topology.json").read_text())
    assert Image.open(out / "topology.png").size[0] > 500
    assert json.loads((out / "config.json").read_text())["ranks"] == [8, 5]
    found = {(row["topology"], row["ranks"]): row for row in rows}
    ring = found["ring", 8]
    assert ring["gap"] == pytest.approx(0.1953, abs=1e-4)
    assert ring["rate"] == pytest.approx((1 - ring["gap"]) ** 2)
    assert (ring["period"], ring["rounds"], ring["directed"], ring["connected"]) == (1, None, False, True)
    assert ring["traffic"] == pytest.approx(2 / (2 * 7 / 8))
    assert len(ring["consensus_errors"]) == 41
    assert (found["base-k", 5]["rounds"], found["base-k", 8]["rounds"]) == (5, 3)
    one_peer = found["one-peer-exponential", 8]
    assert (one_peer["rounds"], one_peer["directed"], one_peer["period"]) == (3, True, 3)
    assert one_peer["traffic"] == pytest.approx(1 / (2 * 7 / 8))


def test_the_table_of_all_names_of_one_rank(tmp_path):
    result = call(*TOPOLOGIES, "--ranks", 1, "--out", tmp_path / "run")
    assert result.exit_code == 0, result.output
    assert all(f"\n{name} " in result.stdout for name in TOPOLOGIES)
    assert f"a picture in {tmp_path / 'run'}" in result.stdout


def test_peers_are_for_base_k_and_files_are_graphs(tmp_path):
    path = tmp_path / "graph.txt"
    path.write_text("0 1\n1 2\n2 0\n2 3\n3 4\n")
    result = call("base-k", "base-k:peers=4", path, "--peers", 2, "--ranks", 5, "--json", "--out", tmp_path / "run")
    assert result.exit_code == 0, result.output
    two, four, graph = json.loads(result.stdout)
    assert (two["rounds"], four["rounds"]) == (3, 1)
    assert (graph["topology"], graph["largest_degree"]) == (str(path), 3)


def test_help_names_all():
    result = call("--help")
    assert all(name in result.output for name in TOPOLOGIES)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "Missing argument"),
        (("rnig",), "did you mean 'ring'?"),
        (("torus", "--ranks", 7), "two factors from 3 on, not 7; the nearest is 9"),
        (("social",), "the social graph needs exactly 32 ranks, not 16; the nearest is 32"),
        (("ring", "--ranks", 0), "--ranks"),
        (("ring", "--peers", 2), "the number of peers of ring cannot be chosen"),
        (("exponential", "--weights", "uniform"), "the weights of exponential cannot be chosen"),
        (("ring", "--weights", "own"), "--weights"),
        (("none.txt",), "none.txt cannot be read: No such file or directory"),
    ],
)
def test_bad_input(arguments, sentence, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = call(*arguments)
    assert result.exit_code == 2
    assert sentence in result.stderr
    assert not list(tmp_path.iterdir())


def test_tuning(tmp_path):
    arguments = ("ring", "--ranks", 4, "--tune", "--compressor", "minmax:bits=4", "--compressor", "none")
    result = call(*arguments, "--out", tmp_path / "run")
    assert result.exit_code == 0, result.output
    assert "consensus step sizes of choco" in result.stdout
    (row,) = json.loads((tmp_path / "run" / "topology.json").read_text())
    minmax, none = row["tuning"]
    assert (minmax["compressor"], none["compressor"]) == ("minmax:bits=4", "none")
    assert 0.9 < minmax["delta_measured"] < none["delta_measured"] == 1
    assert minmax["theory"] < 0.1 < minmax["auto"] <= minmax["best"] <= 1.2 * minmax["largest_stable"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("ring", "--mixing", "dpsgd"), "dpsgd has no consensus step size"),
        (("ring", "--ranks", 1), "ranks of ring send no messages"),
        (("disconnected",), "ranks of disconnected send no messages"),
        (("random-matching",), "never comes again"),
        (("ring", "--compressor", "intsgd"), "sends what all ranks add up"),
    ],
)
def test_bad_input_of_tuning(arguments, sentence, tmp_path):
    result = call(*arguments, "--tune", "--out", tmp_path / "run")
    assert result.exit_code == 2, result.output
    assert sentence in result.stderr
    assert not (tmp_path / "run").exists()
