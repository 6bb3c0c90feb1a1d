"""hvd-qgenx language in one process: what a run leaves, resume, evaluation, samples, bad input."""

import csv
import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from hvd_qgenx.cli import main
from tests.stopping import stopped_before

TEXTS = {"train": "the cat sat on the mat\n" * 60, "valid": "the cat sat\n" * 8, "test": "the mat sat on the cat\n" * 8}
QUICK = ("language", "--units", "16", "--batch-size", "6", "--bptt", "7", "--log-every", "2", "--epochs", "2")


def call(*arguments: object):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def text(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("text")
    for part, lines in TEXTS.items():
        (folder / f"{part}.txt").write_text(lines)
    return folder


def train(text: Path, out: Path, *arguments: object) -> dict:
    result = call(*QUICK, "--dataset", "folder", "--data-dir", text, "--out", out, *arguments)
    assert result.exit_code == 0, result.output
    return json.loads((out / "summary.json").read_text())


@pytest.fixture(scope="module")
def finished(text, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "finished"
    train(text, out, "--score-weights", "raw,ema", "--ema", "0.9")
    return out


def test_a_run_is_a_folder(finished):
    summary = json.loads((finished / "summary.json").read_text())
    with (finished / "scores.csv").open() as file:
        scores = list(csv.DictReader(file))
    assert [float(row["epoch"]) for row in scores] == [1, 2]
    assert float(scores[-1]["perplexity/raw"]) == summary["scores"]["perplexity/raw"] < 7
    assert {"valid_perplexity/raw", "perplexity/ema"} <= scores[0].keys()
    assert summary["best"]["valid_perplexity/raw"] == min(float(row["valid_perplexity/raw"]) for row in scores)


def test_evaluation_repeats_the_scores(finished):
    result = call("evaluate", finished, "--json")
    assert result.exit_code == 0, result.output
    rows = {(row["score"], row["weights"]): row["value"] for row in json.loads(result.stdout)}
    scores = json.loads((finished / "summary.json").read_text())["scores"]
    assert {key: scores["/".join(key)] for key in rows} == rows
    assert ("perplexity", "raw") in rows


def test_the_runs_own_folder_of_data_comes_before_the_environments(text, tmp_path, monkeypatch):
    own, out = tmp_path / "own", tmp_path / "run"
    shutil.copytree(text, own)
    train(own, out)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.setenv("HVD_QGENX_DATA", str(elsewhere))
    assert call("evaluate", out).exit_code == 0
    own.rename(tmp_path / "moved")
    missing = call("evaluate", out)
    assert missing.exit_code == 2
    assert f"{elsewhere} has no train.txt" in missing.output
    monkeypatch.setenv("HVD_QGENX_DATA", str(tmp_path / "moved"))
    assert call("evaluate", out).exit_code == 0


def test_stopped_in_the_middle_of_an_epoch_it_goes_on_bit_for_bit(text, tmp_path, monkeypatch):
    out, options = tmp_path / "run", ("--dropout", "0.2", "--score-weights", "raw,ema")
    with stopped_before(monkeypatch, 8):
        call(*QUICK, "--dataset", "folder", "--data-dir", text, "--out", out, "--checkpoint-every", "5", *options)
    assert not (out / "summary.json").exists()
    resumed = call("language", "--resume", out)
    assert resumed.exit_code == 0, resumed.output
    again = train(text, tmp_path / "whole", *options)
    found = json.loads((out / "summary.json").read_text())
    assert found["replica_hash"] == again["replica_hash"]
    assert found["scores"] == again["scores"]


def test_samples_continue_a_prompt(finished):
    once, again = (call("sample", finished, "--prompt", "the cat", "--tokens", "12").output for _ in range(2))
    assert once == again
    assert once.startswith("the cat")
    assert set(once.split()) <= {"the", "cat", "sat", "on", "mat"}
    likeliest = call("sample", finished, "--tokens", "5", "--temperature", "0", "--weights", "ema")
    assert likeliest.exit_code == 0, likeliest.output


def test_a_text_of_characters(text, tmp_path):
    train(text, tmp_path / "run", "--tokens", "characters")
    result = call("sample", tmp_path / "run", "--prompt", "the", "--tokens", "9")
    assert result.exit_code == 0, result.output
    assert result.output.startswith("the")
    assert len(result.output.rstrip("\n")) <= 12


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--prompt", "the dog"), "'dog' is not among the 6 tokens of the vocabulary"),
        (("--count", "3"), "--count is not for samples of language"),
        (("--weights", "uniform", "--out", "x.png"), "--out is not for samples of language"),
    ],
)
def test_samples_that_cannot_be(finished, arguments, message):
    result = call("sample", finished, *arguments)
    assert result.exit_code == 2
    assert message in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--bptt", "500"), "too few for stretches of 500"),
        (("--batch-size", "400"), "too few for stretches of 7"),
        (("--dataset", "markov", "--tokens", "characters"), "markov has no characters"),
        (("--sparse-embedding",), "--no-tied"),
        (("--local-ranks", "8"), "a batch of 6 cannot be split over 8 ranks"),
        (("--model", "transformer", "--units", "10"), "10 units cannot be cut into 4 heads"),
    ],
)
def test_bad_input_ends_with_code_2_before_any_work(text, arguments, message, tmp_path):
    out = tmp_path / "run"
    result = call(*QUICK, "--dataset", "folder", "--data-dir", text, "--out", out, *arguments)
    assert result.exit_code == 2
    assert message in result.output
    assert not out.exists()


def test_a_run_is_not_resumed_nor_evaluated_on_another_text(finished, tmp_path):
    for part, lines in TEXTS.items():
        (tmp_path / f"{part}.txt").write_text(lines.replace("cat", "dog"))
    for words in (("evaluate", finished), ("language", "--resume", finished, "--epochs", "3")):
        result = call(*words, "--data-dir", tmp_path)
        assert result.exit_code == 2
        assert "another vocabulary" in result.output


def test_a_classifier_has_nothing_to_sample(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"task": "classify", "compressor": "none", "seed": 0}))
    result = call("sample", tmp_path)
    assert result.exit_code == 2
    assert "is a run of classify, which has nothing to sample" in result.output
