"""hvd-qgenx consensus: files that agree, starts from files, grids, and bad input."""

import csv
import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from hvd_qgenx.cli import main

pytestmark = pytest.mark.usefixtures("one_thread")

SHORT = ("--ranks", 4, "--dimension", 30, "--rounds", 20)


def call(*arguments: object):
    return CliRunner().invoke(main, ["consensus", *(str(argument) for argument in arguments)])


def rows(out, *arguments: object):
    result = call("--out", out, "--json", *arguments)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout), json.loads((out / "summary.json").read_text())


def test_without_options(tmp_path):
    result = call("--out", tmp_path / "run")
    assert result.exit_code == 0, result.output
    assert "mixing choco; compressor none; topology ring; ranks 8" in " ".join(result.stdout.split())
    assert "200 rounds" in result.stdout
    assert str(tmp_path / "run") in result.stdout


def test_files_agree(tmp_path):
    arguments = (*SHORT, "--compressor", "sign@.3,.5", "--compressor", "none", "--step-size", 1, "--seeds", 2)
    table, summary = rows(tmp_path / "run", *arguments)
    with (tmp_path / "run" / "consensus.csv").open() as file:
        written = list(csv.DictReader(file))
    assert [float(row["relative"]) for row in written] == [row["relative"] for row in table]
    assert {(row["compressor"], row["consensus_step_size"], row["seed"]) for row in table} == {
        (name, step, seed) for name, step in (("sign", 0.3), ("sign", 0.5), ("none", 1.0)) for seed in (0, 1)
    }
    last = [row for row in table if row["round"] == 20 and row["compressor"] == "none"]
    errors = summary["cases"][2]["errors"][-1]
    assert errors["error"] == pytest.approx(np.exp(np.mean([np.log(row["relative"]) for row in last])))
    assert errors["bits"] == last[0]["bits"] == 20 * 2 * 30 * 64
    assert Image.open(tmp_path / "run" / "consensus.png").size[0] > 1000
    assert json.loads((tmp_path / "run" / "config.json").read_text())["ranks"] == [4]


def test_the_best_of_a_grid_is_reported(tmp_path):
    table, summary = rows(tmp_path / "run", *SHORT, "--compressor", "minmax:bits=4", "--step-size", ".25:4:5")
    (case,) = summary["cases"]
    assert case["tried"] == [0.25, 0.5, 1.0, 2.0, 4.0]
    assert case["consensus_step_size"] == 1.0
    assert {row["consensus_step_size"] for row in table} == {1.0}


def test_topologies_at_equal_messages(tmp_path):
    arguments = ("--ranks", 4, "--dimension", 30, "--topology", "ring", "--topology", "one-peer-exponential")
    _, summary = rows(tmp_path / "run", *arguments, "--messages", 12, "--step-size", 1)
    assert [case["errors"][-1]["round"] for case in summary["cases"]] == [6, 12]
    assert [case["errors"][-1]["messages"] for case in summary["cases"]] == [12, 12]


@pytest.mark.parametrize("suffix", [".npy", ".pt"])
def test_starts_from_files(tmp_path, suffix):
    start = np.arange(12.0).reshape(3, 4)
    path = tmp_path / f"start{suffix}"
    if suffix == ".npy":
        np.save(path, start)
    else:
        torch.save(torch.from_numpy(start), path)
    table, summary = rows(tmp_path / "run", "--start", path, "--rounds", 3)
    (case,) = summary["cases"]
    assert (case["ranks"], case["start"]) == (3, np.square(start - start.mean(0)).sum() / 3)
    assert table[-1]["relative"] < 1e-20


def test_divergence_is_a_sentence(tmp_path):
    result = call("--out", tmp_path / "run", *SHORT, "--compressor", "minmax:bits=4@5")
    assert result.exit_code == 0, result.output
    assert "the consensus step size 5 is above the stability limit; lower it" in " ".join(result.stdout.split())


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--mixing", "choko"], "unknown mixing 'choko'; did you mean 'choco'?"),
        (["--mixing", "relay"], "no consensus by relay"),
        (["--mixing", "dpsgd", "--compressor", "sign"], "dpsgd sends vectors uncompressed"),
        (["--compressor", "topc"], "unknown compressor 'topc'; did you mean 'topk'?"),
        (["--compressor", "topk@0"], "'0' is no consensus step size"),
        (["--compressor", "intsgd"], "sends what all ranks add up"),
        (["--step-size", ".1:.2"], "give a number, auto, or LOW:HIGH:COUNT"),
        (["--topology", "rink"], "unknown topology 'rink'; did you mean 'ring'?"),
        (["--topology", "random-matching"], "random-matching never comes again"),
        (["--topology", "hypercube", "--ranks", "6"], "not 6"),
        (["--rounds", "3", "--messages", "6"], "give one"),
        (["--messages", "6", "--ranks", "1"], "give a number of rounds"),
        (["--start", "random"], "random is neither gaussian nor a file"),
        (["--start", "none.npy"], "there is no file none.npy"),
        (["--start", "bad.npy"], "bad.npy cannot be read"),
        (["--start", "nan.npy"], "nan.npy holds Inf or NaN"),
        (["--start", "flat.npy"], "must hold a matrix"),
        (["--start", "good.npy", "--ranks", "3"], "has vectors of 2 ranks; leave --ranks out"),
        (["--start", "good.npy", "--dimension", "9"], "has vectors of 3 numbers; leave --dimension out"),
        (["--drop", "1"], "1.0 is not in the range 0<=x<1"),
    ],
)
def test_bad_input(tmp_path, arguments, sentence, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.npy").write_text("no matrix")
    for name, value in (("nan", [[np.nan, 1.0]]), ("flat", [1.0, 2.0]), ("good", [[1.0, 2.0, 3.0]] * 2)):
        np.save(tmp_path / f"{name}.npy", value)
    result = call(*arguments, "--out", tmp_path / "run")
    assert result.exit_code == 2, result.output
    assert sentence in " ".join(result.stderr.split())
    assert not (tmp_path / "run").exists()
