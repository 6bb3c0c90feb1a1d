"""hvd-qgenx evaluate: the scores that training would have given, later and on any number of ranks."""

import csv
import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from hvd_qgenx.cli import main
from hvd_qgenx.tasks import scoring
from hvd_qgenx.tasks.evaluation import score_runs
from hvd_qgenx.transport import inprocess
from tests.scores.pictures import Small

QUICK = ("gan", "--filters", "4", "--latent", "8", "--batch-size", "8", "--updates", "4", "--generator-lr", "0.05")
SCORED = ("--score-every", "2", "--score-samples", "250", "--score-weights", "raw,ema,uniform,ergodic")


def call(*arguments: object):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module", autouse=True)
def _small_extractor(tmp_path_factory):
    """Instead of a trained one, whatever is asked for; and an empty cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(scoring, "make_extractor", lambda name, *_, **__: Small(name=f"small_{name}"))
        yield


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """A run that has scored all its weights."""
    out = tmp_path_factory.mktemp("runs") / "scored"
    result = call(*QUICK, *SCORED, "--augmentation", "flip", "--out", out)
    assert result.exit_code == 0, result.output
    return out


@pytest.fixture
def run(scored, tmp_path):
    """The same, to be changed."""
    return shutil.copytree(scored, tmp_path / "run")


def test_scores_are_those_of_training(run):
    result = call("evaluate", run)
    assert result.exit_code == 0, result.output
    last = rows(run / "scores.csv")[-1]
    found = rows(run / "evaluation.csv")
    assert [row["weights"] for row in found] == ["raw", "ema", "uniform", "ergodic"]
    for row in found:
        assert row["value"] == last[f"frechet_small_auto/{row['weights']}"]
        assert row["bias"] == last["bias/frechet_small_auto"]
        assert (row["update"], row["samples"], row["score"]) == ("4", "250", "frechet_small_auto")
    assert len({row["value"] for row in found}) == 4


@pytest.mark.parametrize("ranks", [2, 3])
def test_any_number_of_ranks_finds_the_same(run, ranks):
    asked = {"score_weights": "raw,ema", "score_samples": 250}
    everyone = inprocess.run(ranks, lambda transport: score_runs(transport, [run], asked, download=False))
    last = rows(run / "scores.csv")[-1]
    assert [str(row["value"]) for row in everyone[0]] == [last[f"frechet_small_auto/{w}"] for w in ("raw", "ema")]
    assert all(own == everyone[0] for own in everyone)
    assert len(rows(run / "evaluation.csv")) == 2  # rank 0 alone writes


def test_lines_are_added_and_printed(run):
    assert call("evaluate", run, "--weights", "ema").exit_code == 0
    result = call("evaluate", run, "--weights", "raw, ema", "--samples", 60, "--features", "classifier", "--json")
    assert result.exit_code == 0, result.output
    found, printed = rows(run / "evaluation.csv"), json.loads(result.stdout)
    assert [(row["weights"], row["samples"]) for row in found] == [("ema", "250"), ("raw", "60"), ("ema", "60")]
    assert [row["value"] for row in found[1:]] == [str(row["value"]) for row in printed]
    assert {row["score"] for row in printed} == {"frechet_small_classifier"}
    assert {row["run"] for row in printed} == {str(run)}


def test_several_runs_share_one_look_at_the_real_images(run, scored, tmp_path, monkeypatch):
    other = shutil.copytree(scored, tmp_path / "other")
    (other / "summary.json").unlink()  # an interrupted one
    made = []
    monkeypatch.setattr(scoring, "make_extractor", lambda *_, **__: made.append(Small()) or made[-1])
    result = call("evaluate", run, other, "--weights", "ema")
    assert result.exit_code == 0, result.output
    assert len(made) == 1
    assert made[0].seen == 2 * 1797 + 2 * 250  # real ones in both orientations, and of each run
    assert rows(other / "evaluation.csv") == rows(run / "evaluation.csv")
    assert result.stdout.count(" ema ") == 2


def test_a_file_of_weights_asks_for_inception(run, monkeypatch):
    wanted = []

    def make_extractor(name, *_, inception_weights, **__):
        wanted.append((name, inception_weights))
        return Small()

    monkeypatch.setattr(scoring, "make_extractor", make_extractor)
    assert call("evaluate", run, "--inception-weights", "here.pth").exit_code == 0
    assert call("evaluate", run, "--inception-weights", "here.pth", "--features", "resnet56").exit_code == 0
    assert wanted == [("inception", Path("here.pth")), ("resnet56", Path("here.pth"))]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--weights", "raw,emma"], "unknown weights 'emma'; did you mean 'ema'?"),
        (["--features", "resnet"], "unknown features 'resnet'; did you mean 'resnet56'?"),
        (["--samples", "0"], "score_samples must be positive, not 0"),
        (["--samples", "5"], "5 samples are too few to score"),
        (["--device", "gpu"], "unknown device 'gpu'"),
        (["--expect-ranks", "3"], "expected 3 ranks but there are 1"),
    ],
)
def test_bad_input_is_found_before_anything_is_scored(run, arguments, sentence):
    result = call("evaluate", run, *arguments)
    assert result.exit_code == 2, result.output
    assert sentence in result.stderr
    assert not (run / "evaluation.csv").exists()


def test_folders_that_hold_no_whole_run_are_named_and_left_out(run, scored, tmp_path):
    half = shutil.copytree(scored, tmp_path / "half")
    (half / "checkpoint.pt").write_bytes((scored / "checkpoint.pt").read_bytes()[:-100])
    (tmp_path / "report").mkdir()
    (tmp_path / "run.log").write_text("a line")
    result = call("evaluate", *sorted(tmp_path.iterdir()), "--weights", "raw", "--json")
    assert result.exit_code == 0, result.output
    assert [row["run"] for row in json.loads(result.stdout)] == [str(run)]
    for name, reason in (("half", "damaged or not a checkpoint"), ("report", "holds no run"), ("run.log", "")):
        assert f"{tmp_path / name} is left out: {tmp_path / name}" in result.stderr
        assert reason in result.stderr


@pytest.mark.parametrize(
    ("paths", "sentence"), [(["a"], "a holds no run"), (["a", "b"], "none of 2 folders holds a run")]
)
def test_where_there_is_no_run_nothing_can_be_scored(paths, sentence):
    result = call("evaluate", *paths)
    assert (result.exit_code, sentence in result.stderr) == (2, True)


def test_a_run_without_a_checkpoint(run):
    (run / "checkpoint.pt").unlink()
    result = call("evaluate", run)
    assert (result.exit_code, "stopped before its first one" in result.stderr) == (2, True)
