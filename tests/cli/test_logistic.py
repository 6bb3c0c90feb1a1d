"""hvd-qgenx logistic: files that agree, settings that arrive, and bad input."""

import csv
import json

import pytest
from click.testing import CliRunner
from PIL import Image

from hvd_qgenx.cli import main
from hvd_qgenx.data import sample_sources
from hvd_qgenx.tasks.logistic.registry import METHODS


def call(*arguments: object):
    return CliRunner().invoke(main, ["logistic", *(str(argument) for argument in arguments)])


def rows(out, *arguments: object):
    result = call("--out", out, "--json", *arguments)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout), json.loads((out / "summary.json").read_text())


@pytest.fixture
def small(tmp_path):
    """A LIBSVM file of 30 samples."""
    path = tmp_path / "small.libsvm"
    path.write_text("".join(f"{k % 2} 1:{k % 7 - 3} 2:{k % 5} 4:{(k % 2) + 0.5}\n" for k in range(30)))
    return path


def test_without_options(tmp_path):
    """L-SVRG gets to the optimum of scikit-learn's data with twelve workers."""
    result = call("--out", tmp_path / "run", "--iterations", 200)
    assert result.exit_code == 0, result.output
    assert (
        "breast-cancer: 564 of 569 samples, 30 features; 12 workers with 47 samples each, batch size 2" in result.stdout
    )
    assert "so f* is exact to" in result.stdout
    assert all(name in result.stdout for name in (*METHODS, str(tmp_path / "run")))


def test_files_agree(tmp_path, small):
    table, summary = rows(tmp_path / "run", "--data", small, "--workers", 3, "--seeds", 2, "--iterations", 40)
    with (tmp_path / "run" / "logistic.csv").open() as file:
        written = list(csv.DictReader(file))
    assert [[float(row[name]) for name in ("k", "gap", "squared_distance")] for row in written] == [
        [row[name] for name in ("k", "gap", "squared_distance")] for row in table
    ]
    assert len(table) == len(METHODS) * 2 * 41
    assert {(row["method"], row["seed"]) for row in table} == {(m, s) for m in METHODS for s in (0, 1)}
    assert [method["method"] for method in summary["methods"]] == list(METHODS)
    assert Image.open(tmp_path / "run" / "logistic.png").size[0] > 1000
    assert json.loads((tmp_path / "run" / "config.json").read_text())["workers"] == 3


def test_settings_arrive(tmp_path, small):
    arguments = ("--data", small, "--workers", 5, "--method", "sgd", "--iterations", 2)
    _, usual = rows(tmp_path / "usual", *arguments)
    _, given = rows(
        tmp_path / "given", *arguments, "--batch-size", 3, "--l2", 0.25, "--lr", 0.125, "--split", "dirichlet",
        "--dirichlet-alpha", 5, "--raw",
    )  # fmt: skip
    assert (usual["batch_size"], usual["l2"], usual["largest_share"]) == (1, 1 / 30, 6)
    assert (given["batch_size"], given["probability"], given["l2"]) == (3, 0.5, 0.25)
    assert given["methods"][0]["lr"] == 0.125
    assert given["least_share"] < given["largest_share"]
    assert given["smoothness"] > usual["smoothness"]


def test_the_papers_regularizer_is_used(tmp_path, monkeypatch):
    monkeypatch.setattr(sample_sources, "HEART", sample_sources.BREAST_CANCER)
    _, summary = rows(tmp_path / "run", "--data", "heart", "--iterations", 1)
    assert summary["l2"] == 3e-2


def test_the_published_experiment_is_one_option_away(tmp_path, data_dir):
    arguments = ("--data", "a5a", "--data-dir", data_dir, "--iterations", 1, "--method", "l-svrg")
    _, summary = rows(tmp_path / "run", *arguments)
    assert [summary[name] for name in ("samples", "used", "workers", "batch_size")] == [6414, 6408, 12, 26]
    assert summary["optimal_value"] == pytest.approx(0.3657067831, abs=5e-11)
    assert summary["methods"][0]["lr"] == pytest.approx(3.818935, abs=5e-7)


def test_decentralized_methods(tmp_path, small):
    arguments = ("--data", small, "--workers", 3, "--iterations", 20, "--method", "gd", "--method", "dpsgd",
                 "--method", "choco+qg", "--compressor", "none", "--compressor", "sign@.2,.1:.4:2", "--lr", 0.1,
                 "--lr", 0.2, "--split", "sorted", "--gradients", "full", "--consensus-step-size", 1)  # fmt: skip
    table, summary = rows(tmp_path / "run", *arguments)
    names = ["gd", "dpsgd", "choco+qg none@1", "choco+qg sign@.2", "choco+qg sign@.1:.4:2"]
    assert [method["method"] for method in summary["methods"]] == names
    assert [method.get("consensus_step_size") for method in summary["methods"][:4]] == [None, 1.0, 1.0, 0.2]
    assert {method["lr"] for method in summary["methods"]} <= {0.1, 0.2}
    last = {row["method"]: row for row in table if row["k"] == 20}
    assert last["gd"]["consensus"] is None
    assert all(last[name]["worst_gap"] >= last[name]["gap"] for name in names[1:])
    assert Image.open(tmp_path / "run" / "logistic.png").size[1] > 1500
    result = call("--out", tmp_path / "again", *arguments)
    assert "squared distance |x - x*|^2" in result.stdout
    assert "gap f - f* at the mean of the workers' points" in result.stdout
    assert all(name.split("@")[0] in result.stdout for name in names)


def test_laws_and_averages_arrive(tmp_path, small):
    arguments = ("--data", small, "--workers", 3, "--iterations", 9, "--method", "choco", "--method", "sgd")
    usual, _ = rows(tmp_path / "usual", *arguments)
    given, summary = rows(
        tmp_path / "given", *arguments, "--lr-law", "decay", "--tau", 5, "--average", "(t+tau)^2", "--overlap",
        "--topology", "ring", "--topology", "complete", "--drop", 0.1,
    )  # fmt: skip
    names = ["sgd", "choco on ring", "choco on complete"]
    assert [method["method"] for method in summary["methods"]] == names
    assert usual[-1]["gap"] != given[-1]["gap"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--method", "lsvrg"], "unknown method 'lsvrg'; did you mean 'l-svrg'?"),
        (["--data", "mushroms"], "unknown data set 'mushroms'; did you mean 'mushrooms'?"),
        (["--data", "a5a", "--data-dir", "."], "no a5a in libsvm or .; add --download"),
        (["--data", "./missing"], "missing cannot be read (No such file or directory)"),
        (["--split", "sort"], "unknown split 'sort'; did you mean 'sorted'?"),
        (["--split", "dirichlet", "--dirichlet-alpha", "0.001"], "without samples; use a larger --dirichlet-alpha"),
        (["--workers", "570"], "569 samples cannot be split over 570 workers; use fewer workers"),
        (["--l2", "0"], "0.0 is not in the range x>0"),
        (["--lr", "nan"], "nan is not a finite number"),
        (["--expect-ranks", "3"], "1 found"),
        (["--method", "choko"], "unknown method 'choko'; did you mean 'choco'?"),
        (["--method", "gd", "--compressor", "sign"], "none of the methods takes a compressor; add --method choco"),
        (["--method", "dpsgd", "--compressor", "sign"], "dpsgd sends vectors uncompressed"),
        (["--method", "relay"], "relay needs a tree"),
        (["--method", "dpsgd", "--overlap"], "--overlap is for choco, beer and motef"),
        (["--method", "choco", "--topology", "hypercube"], "not 12"),
        (["--method", "choco", "--consensus-step-size", "0"], "is no consensus step size"),
        (["--lr-law", "decai"], "unknown law of step sizes 'decai'; did you mean 'decay'?"),
        (["--lr-law", "decay", "--tau", "0"], "--lr-law decay needs --tau above 0"),
        (["--average", "means"], "unknown average 'means'; did you mean 'mean'?"),
    ],
)
def test_bad_input(tmp_path, arguments, sentence, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = call(*arguments, "--out", tmp_path / "run")
    assert result.exit_code == 2, result.output
    assert sentence in result.stderr.replace("\n", " ")
    assert not (tmp_path / "run").exists()


def test_a_folder_with_a_run_is_left_alone(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    result = call("--out", tmp_path, "--iterations", 1)
    assert result.exit_code == 2
    assert "already holds a run" in result.stderr
