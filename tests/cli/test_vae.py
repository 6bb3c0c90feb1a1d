"""hvd-qgenx vae in one process: what a run leaves, resume, evaluation, samples, sweep, report, bad input."""

import csv
import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from hvd_qgenx.cli import main
from hvd_qgenx.tasks.vae.settings import VaeConfig
from hvd_qgenx.training import presets
from tests.stopping import stopped_before

QUICK = ("vae", "--width", "32", "--latent", "4", "--batch-size", "48", "--log-every", "20", "--epochs", "2")
SCORED = ("--score-weights", "raw,ema", "--ema", "0.9", "--importance-samples", "3", "--objective", "beta-tc")


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
    train(out, *SCORED)
    return out


def test_a_run_is_a_folder(finished):
    config = json.loads((finished / "config.json").read_text())
    assert (config["task"], config["model"], config["width"], config["lr"]) == ("vae", "mlp", 32, 1e-3)
    metrics = rows(finished / "metrics.csv")
    assert [int(row["update"]) for row in metrics] == [20, 40, 60, 61]
    assert float(metrics[0]["loss/train"]) > float(metrics[-1]["loss/train"])
    last = {name: float(value) for name, value in metrics[-1].items() if value}
    parts = ("kl/mutual_information", "kl/total_correlation", "kl/dimension_wise")
    assert sum(last[name] for name in parts) == pytest.approx(last["kl"], abs=1e-3)
    scores = rows(finished / "scores.csv")
    assert [int(row["update"]) for row in scores] == [31, 61]
    last = scores[-1]
    assert float(last["negative_iwae/raw"]) < float(last["negative_elbo/raw"]) < float(last["negative_elbo/ema"])
    whole = float(last["reconstruction/raw"]) + float(last["kl/raw"])
    assert float(last["negative_elbo/raw"]) == pytest.approx(whole)
    summary = json.loads((finished / "summary.json").read_text())
    assert summary["best"]["negative_elbo/raw"] == min(float(row["negative_elbo/raw"]) for row in scores)
    assert sorted(path.name for path in (finished / "samples").glob("0*.png")) == ["000031.png", "000061.png"]


@pytest.mark.parametrize("stopped_at", [17, 45])
def test_resumed_in_the_middle_of_an_epoch_it_ends_as_if_it_had_not_stopped(
    tmp_path, monkeypatch, finished, stopped_at
):
    run = tmp_path / "run"
    with stopped_before(monkeypatch, stopped_at):
        assert call(*QUICK, "--out", run, *SCORED, "--checkpoint-every", 8).exit_code == 130
    result = call("vae", "--resume", run)
    assert result.exit_code == 0, result.output
    one, other = (json.loads((path / "summary.json").read_text()) for path in (run, finished))
    for key in ("replica_hash", "losses", "scores", "best"):
        assert one[key] == other[key]
    compared = ("update", "loss/train", "reconstruction", "kl", "kl/total_correlation", "epoch")
    tables = [[tuple(row[name] for name in compared) for row in rows(path / "metrics.csv")] for path in (run, finished)]
    assert tables[0] == tables[1]
    pictures = [(path / "samples" / "000061.png").read_bytes() for path in (run, finished)]
    assert pictures[0] == pictures[1]


def test_evaluated_later_the_scores_are_the_same(finished):
    result = call("evaluate", finished, "--weights", "raw,ema", "--json")
    assert result.exit_code == 0, result.output
    found = {f"{row['score']}/{row['weights']}": row["value"] for row in json.loads(result.stdout)}
    last = rows(finished / "scores.csv")[-1]
    assert found == {name: float(last[name]) for name in found}
    assert len(found) == 8
    assert {row["samples"] for row in json.loads(result.stdout)} == {355}


def test_evaluated_later_bounds_may_be_tighter(finished):
    result = call("evaluate", finished, "--importance-samples", 30, "--json")
    assert result.exit_code == 0, result.output
    found = {row["score"]: row["value"] for row in json.loads(result.stdout) if row["weights"] == "raw"}
    last = rows(finished / "scores.csv")[-1]
    assert found["negative_elbo"] == float(last["negative_elbo/raw"])
    assert found["negative_iwae"] < float(last["negative_iwae/raw"])


def test_samples_of_a_run(finished, tmp_path):
    result = call("sample", finished)
    assert result.exit_code == 0, result.output
    picture = finished / "samples" / "raw-61.png"
    assert f"64 images in {picture}" in result.output
    assert min(Image.open(picture).size) >= 480
    drawn = []
    for number, way in enumerate([(), ("--weights", "ema"), ("--seed", 1), ("--seed", 0)]):
        out = tmp_path / f"{number}.png"
        assert call("sample", finished, "--out", out, *way).exit_code == 0
        drawn.append(out.read_bytes())
    assert drawn[0] == drawn[3] == picture.read_bytes()
    assert len(set(drawn)) == 3
    result = call("sample", finished, "--count", 300, "--separately", tmp_path / "all")
    assert result.exit_code == 0, result.output
    assert len(list((tmp_path / "all").iterdir())) == 300


@pytest.mark.parametrize(
    ("command", "arguments", "sentence"),
    [
        ("sample", ["--classes", "3"], "--classes is not for samples of vae"),
        ("sample", ["--weights", "emma"], "unknown weights 'emma'; did you mean 'ema'"),
        ("sample", ["--out", "a.png", "--separately", "b"], "give --out or --separately"),
        ("evaluate", ["--samples", 100], "vae has no setting 'score_samples'; it is one of gan"),
        ("evaluate", ["--importance-samples", -1], "importance_samples must be at least 0, not -1"),
    ],
)
def test_what_is_not_asked_of_an_autoencoder(finished, command, arguments, sentence):
    result = call(command, finished, *arguments)
    assert (result.exit_code, sentence in result.stderr) == (2, True), result.output


def test_averages_that_were_not_kept_are_named(tmp_path):
    train(tmp_path / "run", "--epochs", 0.1)
    result = call("sample", tmp_path / "run", "--weights", "ema")
    assert (result.exit_code, "the run has no ema weights" in result.stderr) == (2, True), result.output


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--model", "conv", "--image-size", 30], "conv takes images of side 8, 12, 16 and so on in steps of 4"),
        (["--noise", 0.5], "noise is for --likelihood gaussian; the likelihood is bernoulli"),
        (["--likelihood", "gaussian", "--noise", -1], "noise must be positive, not -1.0"),
        (["--importance-samples", -1], "importance_samples must be at least 0, not -1"),
        (["--frechet-samples", 5], "5 samples are too few for a Fréchet distance; use at least 10"),
        (["--objective", "beta-tc", "--batch-size", 1], "a batch of 1 is too small for 1 rank(s)"),
        (["--split", "sorted"], "vae has no setting 'split'; it is one of classify"),
        (["--dataset", "celeba", "--data-dir", "/nowhere"], "no celeba in /nowhere"),
    ],
)
def test_bad_input_ends_with_code_2_before_anything_is_written(tmp_path, arguments, sentence):
    result = call(*QUICK, "--out", tmp_path / "run", *arguments)
    assert (result.exit_code, sentence in result.output) == (2, True), result.output
    assert not (tmp_path / "run").exists()


def test_images_of_colour_without_labels(tmp_path):
    """As of CelebA: a folder of one class in place of labels."""
    for part in ("train", "test"):
        for number in range(8):
            path = tmp_path / "data" / part / "all" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (12, 10), (number * 30, 90, 200)).save(path)
    arguments = ("--dataset", "folder", "--data-dir", tmp_path / "data", "--image-size", 8, "--batch-size", 4)
    train(tmp_path / "run", *arguments, "--model", "conv", "--likelihood", "gaussian", "--noise", 0.3)
    picture = sorted((tmp_path / "run" / "samples").iterdir())[-1]
    assert Image.open(picture).mode == "RGB"


def test_a_sweep_and_its_report(tmp_path):
    file = tmp_path / "sweep.toml"
    file.write_text(f"""
        task = "vae"
        out = "{tmp_path / "out"}"
        seeds = [0, 1]
        [options]
        width = 32
        epochs = 1
        log_every = 10
        [modes.full]
        compressor = "none"
        [modes.uq4]
        bits = 4
    """)
    result = call("sweep", file)
    assert result.exit_code == 0, result.output
    assert "4 of 4 runs are done" in result.stderr
    assert "negative_elbo/raw" in result.output
    page = (tmp_path / "out" / "report" / "index.html").read_text()
    assert "lower is better" in page
    assert (tmp_path / "out" / "report" / "samples.png").exists()


@pytest.mark.parametrize("name", presets.names(VaeConfig))
def test_presets_can_be_trained(name):
    result = call("vae", "--preset", name, "--show-config", "--json")
    assert result.exit_code == 0, result.output
    assert len(presets.describe(VaeConfig, name)) > 20
