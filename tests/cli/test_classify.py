"""hvd-qgenx classify in one process: what a run leaves, resume, evaluation, sweep, report, bad input."""

import csv
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from hvd_qgenx.cli import main
from hvd_qgenx.tasks.classify.settings import ClassifyConfig
from hvd_qgenx.training import presets
from tests.stopping import stopped_before

QUICK = ("classify", "--model", "mlp", "--batch-size", "48", "--log-every", "20", "--epochs", "2")


def call(*arguments: object):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def train(out: Path, *arguments: object) -> dict:
    result = call(*QUICK, "--out", out, *arguments)
    assert result.exit_code == 0, result.output
    return json.loads((out / "summary.json").read_text())


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "finished"
    train(out, "--augmentation", "flip", "--score-weights", "raw,ema", "--ema", "0.9")
    return out


def test_a_run_is_a_folder(finished):
    config = json.loads((finished / "config.json").read_text())
    assert (config["task"], config["model"], config["epochs"], config["updates"]) == ("classify", "mlp", 2.0, None)
    assert config["lr"] == 0.1
    metrics = rows(finished / "metrics.csv")
    assert [int(row["update"]) for row in metrics] == [20, 40, 60, 61]
    assert float(metrics[-1]["epoch"]) == 2
    assert float(metrics[0]["loss/train"]) > float(metrics[-1]["loss/train"])
    assert float(metrics[-1]["accuracy/train"]) > 80
    scores = rows(finished / "scores.csv")
    assert [int(row["update"]) for row in scores] == [31, 61]
    assert float(scores[-1]["top1/raw"]) > 80
    assert scores[-1]["top1/raw"] != scores[-1]["top1/ema"]
    summary = json.loads((finished / "summary.json").read_text())
    assert (summary["updates"], summary["epochs"]) == (61, 2.0)
    assert summary["scores"]["top1/raw"] == float(scores[-1]["top1/raw"])
    assert summary["best"]["top1/raw"] == max(float(row["top1/raw"]) for row in scores)
    assert set(summary["seconds"]) == {
        *("total", "data", "forward", "backward", "waiting", "optimizer", "encode", "wire", "decode")
    }


@pytest.mark.parametrize("stopped_at", [17, 45])
def test_resumed_in_the_middle_of_an_epoch_it_ends_as_if_it_had_not_stopped(
    tmp_path, monkeypatch, finished, stopped_at
):
    run = tmp_path / "run"
    arguments = ("--augmentation", "flip", "--score-weights", "raw,ema", "--ema", "0.9", "--checkpoint-every", 8)
    with stopped_before(monkeypatch, stopped_at):
        assert call(*QUICK, "--out", run, *arguments).exit_code == 130
    result = call("classify", "--resume", run)
    assert result.exit_code == 0, result.output
    one, other = (json.loads((path / "summary.json").read_text()) for path in (run, finished))
    for key in ("replica_hash", "losses", "scores", "best"):
        assert one[key] == other[key]
    compared = ("update", "loss/train", "accuracy/train", "lr", "epoch")
    tables = [[tuple(row[name] for name in compared) for row in rows(path / "metrics.csv")] for path in (run, finished)]
    assert tables[0] == tables[1]


def test_a_finished_run_may_go_on_for_longer(tmp_path):
    out = tmp_path / "run"
    train(out)
    assert call("classify", "--resume", out, "--updates", 70).exit_code == 0
    config = json.loads((out / "config.json").read_text())
    assert (config["epochs"], config["updates"]) == (None, 70)
    refused = call("classify", "--resume", out, "--lr", 0.2)
    assert (refused.exit_code, "These settings cannot change on resume: lr was 0.1, not 0.2" in refused.stderr) == (
        2,
        True,
    )


def test_evaluated_later_the_scores_are_the_same(finished):
    result = call("evaluate", finished, "--weights", "raw,ema", "--json")
    assert result.exit_code == 0, result.output
    found = {f"{row['score']}/{row['weights']}": row["value"] for row in json.loads(result.stdout)}
    last = rows(finished / "scores.csv")[-1]
    assert found == {name: float(last[name]) for name in found}
    assert len(found) == 6
    assert {row["samples"] for row in json.loads(result.stdout)} == {355}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--features", "inception"], "classify has no setting 'features'; it is one of gan"),
        (["--samples", 100], "classify has no setting 'score_samples'; it is one of gan"),
        (["--weights", "emma"], "unknown weights 'emma'"),
    ],
)
def test_what_classifiers_are_not_evaluated_with(finished, arguments, sentence):
    result = call("evaluate", finished, *arguments)
    assert (result.exit_code, sentence in result.stderr) == (2, True), result.output


def test_weights_that_were_not_kept_are_named(tmp_path):
    train(tmp_path / "run", "--epochs", 0.1)
    result = call("evaluate", tmp_path / "run", "--weights", "ema")
    assert (result.exit_code, "the run has no ema weights" in result.stderr) == (2, True), result.output


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--updates", 5], "is given in epochs or in updates; leave one of them out"),
        (["--loss", "wgan"], "classify has no setting 'loss'; it is one of gan"),
        (["--no-spectral-norm"], "classify has no setting 'spectral_norm'; it is one of gan"),
        (["--lrr", 3], "No such option '--lrr'. Did you mean '--lr'?"),
        (["--preset", "small-nuq"], "classify has no preset 'small-nuq'; it is one of gan"),
        (["--model", "vgg11"], "vgg11 takes images of side 17 or more, not 8"),
        (["--dataset", "celeba", "--data-dir", "/nowhere"], "no celeba in /nowhere"),
        (["--split", "dirichlet", "--dirichlet-alpha", -1], "dirichlet_alpha must be positive, not -1.0"),
        (["--accumulation", 5], "a batch of 48 cannot be accumulated in 5 equal parts"),
        (["--model", "mlp", "--model-norm", "batch"], "mlp has no norm layers"),
    ],
)
def test_bad_input_ends_with_code_2_before_anything_is_written(tmp_path, arguments, sentence):
    result = call(*QUICK, "--out", tmp_path / "run", *arguments)
    assert (result.exit_code, sentence in result.output) == (2, True), result.output
    assert not (tmp_path / "run").exists()


def test_a_gan_knows_the_settings_of_classifiers(tmp_path):
    result = call("gan", "--out", tmp_path / "run", "--label-smoothing", 0.1)
    assert (result.exit_code, "gan has no setting 'label_smoothing'; it is one of classify" in result.output) == (
        2,
        True,
    )


def test_a_run_of_another_task_is_not_resumed(finished):
    result = call("gan", "--resume", finished)
    assert (result.exit_code, "is a run of hvd-qgenx classify, not gan" in result.stderr) == (2, True)


def test_diverging_training_ends_in_one_sentence_and_leaves_a_record(tmp_path):
    result = call(*QUICK, "--out", tmp_path / "run", "--loss-limit", 1e-6)
    assert result.exit_code == 1
    assert "Error: training has diverged: the loss is " in result.stderr
    record = json.loads((tmp_path / "run/diverged.json").read_text())
    assert f"Error: {record['sentence']}\nTraining has diverged after update {record['update']}.\n" in result.stderr
    assert not (tmp_path / "run/summary.json").exists()


def test_gossip_that_diverges_leaves_a_record(tmp_path):
    """One rank alone finds it, whichever is the first."""
    gossip = ("--local-ranks", 4, "--mixing", "ecd", "--compressor", "uniform", "--bits", 2, "--lr", 5)
    result = call(*QUICK, *gossip, "--out", tmp_path / "run")
    assert result.exit_code == 1
    record = json.loads((tmp_path / "run/diverged.json").read_text())
    assert record["sentence"].startswith(("gossip diverges: rank", "Inf or NaN in"))
    assert f"Training has diverged after update {record['update']}." in result.stderr


def test_a_run_that_goes_on_has_not_diverged(tmp_path):
    train(tmp_path / "run")
    (tmp_path / "run/diverged.json").write_text('{"update": 3, "sentence": "the loss is nan"}')
    assert call("classify", "--resume", tmp_path / "run", "--epochs", 3).exit_code == 0
    assert not (tmp_path / "run/diverged.json").exists()


def test_a_sweep_and_its_report(tmp_path):
    file = tmp_path / "sweep.toml"
    text = f"""
        task = "classify"
        out = "{tmp_path / "out"}"
        seeds = [0, 1]
        [options]
        model = "mlp"
        epochs = 1
        log_every = 10
        evaluate_every = 0.5
        [modes.full]
        compressor = "none"
        [modes.uq4]
        bits = 4
    """
    file.write_text(text)
    result = call("sweep", file)
    assert result.exit_code == 0, result.output
    assert "4 of 4 runs are done" in result.stderr
    assert "top1/raw" in result.output
    page = (tmp_path / "out" / "report" / "index.html").read_text()
    assert "higher is better" in page
    assert (tmp_path / "out" / "report" / "score.png").exists()
    again = call("sweep", file, "--dry-run")
    assert again.stdout.count("is done") == 4
    assert call("sweep", write(tmp_path, text.replace("epochs = 1", "epochs = 0.5"))).exit_code == 2


def write(folder: Path, text: str) -> Path:
    path = folder / "other.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", presets.names(ClassifyConfig))
def test_presets_can_be_trained(name):
    result = call("classify", "--preset", name, "--show-config", "--json")
    assert result.exit_code == 0, result.output
    assert len(presets.describe(ClassifyConfig, name)) > 20


def test_options_win_over_a_presets_length(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("epochs = 3.0")
    result = call("classify", "--preset", path, "--updates", 7, "--show-config", "--json")
    found = json.loads(result.stdout)
    assert (found["updates"]["value"], found["epochs"]["value"]) == (7, None)
    both = call("classify", "--updates", 7, "--epochs", 2, "--show-config")
    assert (both.exit_code, "leave one of them out" in both.stderr) == (2, True)


@pytest.mark.parametrize(("bits", "warned"), [(2, True), (8, False)])
def test_integers_that_do_not_fit_are_told(tmp_path, bits, warned):
    arguments = ("--compressor", "intsgd", "--bits", bits, "--compress-from", 16)
    result = call(*QUICK, "--out", tmp_path / "run", *arguments)
    assert result.exit_code == 0, result.output
    assert ("were clipped to intsgd's width, which biases their sums" in result.stdout) is warned
