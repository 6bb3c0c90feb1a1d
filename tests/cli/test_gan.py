"""hvd-qgenx gan in one process: what a run leaves, resume, bad input."""

import csv
import json
import shutil
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from compressors.kernels import threads
from hvd_qgenx.cli import main
from hvd_qgenx.gan.data import InMemory, sets
from hvd_qgenx.gan.run import KIND
from hvd_qgenx.gan.trainer import PHASES, Trainer
from hvd_qgenx.runs import checkpoint

IMAGES = InMemory("cifar10", torch.zeros(20, 3, 32, 32, dtype=torch.uint8), torch.zeros(20))
QUICK = ["gan", "--filters", "4", "--latent", "8", "--batch-size", "8", "--log-every", "2", "--sample-every", "4"]


def call(*arguments: object):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def train(out, *arguments: object):
    result = call(*QUICK, "--out", out, *arguments)
    assert result.exit_code == 0, result.output
    return json.loads((out / "summary.json").read_text())


def interrupt(monkeypatch, move: int, out: Path, *arguments: object) -> None:
    """Trains until just before a move."""
    advance = Trainer.advance

    def interrupted(self, **options):
        if self.move == move:
            raise KeyboardInterrupt
        advance(self, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "advance", interrupted)
        result = call(*QUICK, "--out", out, *arguments)
    assert result.exit_code == 1, result.output
    assert not (out / "summary.json").exists()


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "finished"
    train(out, "--updates", 8, "--checkpoint-every", 3)
    return out


def test_a_run_is_a_folder(finished):
    config = json.loads((finished / "config.json").read_text())
    assert config["compressor_parameters"] == {"bits": 4, "bucket_size": 1024}
    assert config["ranks"] == 1
    assert config["versions"]["torch"] == torch.__version__

    with (finished / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["update"]) for row in rows] == [2, 4, 6, 8]
    assert all(0 < float(row["traffic/relative_error"]) < 1 for row in rows)
    assert all(float(row["seconds/update"]) > 0 for row in rows)

    events = EventAccumulator(str(finished / "tensorboard")).Reload()
    assert set(events.Tags()["scalars"]) == set(rows[0]) - {"update"}
    logged = [(event.step, event.value) for event in events.Scalars("loss/discriminator")]
    assert logged == [(int(r["update"]), pytest.approx(float(r["loss/discriminator"]))) for r in rows]

    assert sorted(path.name for path in (finished / "samples").iterdir()) == ["000004.png", "000008.png"]
    assert min(Image.open(finished / "samples" / "000008.png").size) >= 480

    summary = json.loads((finished / "summary.json").read_text())
    assert summary["updates"] == 8
    assert summary["bytes_per_update"] == 0  # one rank sends nothing
    assert len(summary["replica_hash"]) == 64
    assert set(summary["seconds"]) == {"total", *PHASES, "encode", "wire", "decode"}


def test_json_is_all_there_is_on_standard_output(tmp_path):
    result = call(*QUICK, "--out", tmp_path / "run", "--updates", 2, "--json")
    assert json.loads(result.stdout)["updates"] == 2


@pytest.mark.parametrize(("checkpoint_every", "stopped_at"), [(1, 9), (2.5, 10), (2.5, 7), (3, 15)])
def test_resumed_it_ends_as_if_it_had_not_stopped(tmp_path, monkeypatch, finished, checkpoint_every, stopped_at):
    """Stopped at a move; a checkpoint every 2.5 updates falls between two half-steps."""
    run = tmp_path / "run"
    interrupt(monkeypatch, stopped_at, run, "--updates", 8, "--checkpoint-every", checkpoint_every)

    result = call("gan", "--resume", run)
    assert result.exit_code == 0, result.output
    resumed, whole = (json.loads((path / "summary.json").read_text()) for path in (run, finished))
    assert resumed["replica_hash"] == whole["replica_hash"]
    assert resumed["losses"] == whole["losses"]
    with (run / "metrics.csv").open() as one, (finished / "metrics.csv").open() as other:
        columns = ("update", "loss/generator", "loss/discriminator", "loss/penalty")
        rows = [[tuple(row[c] for c in columns) for row in csv.DictReader(file)] for file in (one, other)]
    assert rows[0] == rows[1]


def test_the_whole_configuration_is_resumed(tmp_path):
    train(tmp_path / "run", "--updates", 2, "--compressor", "uniform", "--bits", 3, "--seed", 7)
    assert call("gan", "--resume", tmp_path / "run", "--updates", 4, "--seed", 7, "--bits", 3).exit_code == 0
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (config["updates"], config["seed"], config["compressor"]) == (4, 7, "uniform")


def test_the_data_folder_is_remembered_and_may_move(tmp_path, monkeypatch):
    monkeypatch.setattr(sets, "_from_torchvision", lambda name, folder, download: seen.append(folder) or IMAGES)
    seen: list[Path] = []
    train(tmp_path / "run", "--updates", 1, "--dataset", "cifar10", "--data-dir", "/here")
    for arguments in ((), ("--data-dir", "/there"), ()):
        assert call("gan", "--resume", tmp_path / "run", *arguments).exit_code == 0
    assert seen == [Path("/here"), Path("/here"), Path("/there"), Path("/there")]


def test_resuming_a_finished_run_changes_nothing(finished):
    before = {path: path.read_text() for path in (finished / "summary.json", finished / "metrics.csv")}
    assert call("gan", "--resume", finished).exit_code == 0
    assert {path: path.read_text() for path in before} == before


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--bits", 5], "bits was 4, not 5"),
        (["--batch-size", 16, "--seed", 3], "batch_size was 8, not 16; seed was 0, not 3"),
        (["--compressor", "none"], "compressor was minmax, not none"),
        (["--expect-ranks", 2], "expected 2 ranks but there are 1"),
    ],
)
def test_resume_refuses_another_configuration(finished, arguments, sentence):
    result = call("gan", "--resume", finished, *arguments)
    assert (result.exit_code, sentence in result.stderr) == (2, True), result.output


def test_resume_refuses_another_number_of_ranks(finished, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({**config, "ranks": 3}))
    result = call("gan", "--resume", run)
    assert (result.exit_code, "ranks was 3, not 1" in result.stderr) == (2, True)


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda run: shutil.rmtree(run), "holds no run: it has no config.json"),
        (lambda run: (run / "checkpoint.pt").unlink(), "there is no checkpoint"),
        (lambda run: (run / "checkpoint.pt").write_bytes((run / "checkpoint.pt").read_bytes()[:5000]), "is damaged"),
        (lambda run: (run / "checkpoint.pt").write_bytes(b"hello"), "is damaged"),
        (
            lambda run: torch.save({"model": torch.zeros(1)}, run / "checkpoint.pt"),
            "is not a checkpoint of",
        ),
        (lambda run: (run / "config.json").write_text("{"), "cannot be read"),
        (lambda run: (run / "config.json").write_text("[]"), "is not the configuration of a run"),
        (lambda run: (run / "config.json").write_text('{"dataset": "digits"}'), "is not one of this version"),
    ],
    ids=["no-folder", "no-checkpoint", "truncated", "no-archive", "foreign", "bad-json", "list", "foreign-config"],
)
def test_resume_of_what_is_no_run(finished, tmp_path, damage, sentence):
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    damage(run)
    result = call("gan", "--resume", run)
    assert result.exit_code == 2
    assert sentence in result.stderr
    assert result.stderr.startswith("Error: ")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--bits", 0], "bits must be from 1 to 8"),
        (["--bits", 9], "bits must be from 1 to 8"),
        (["--bits", "four"], "'four' is not a number"),
        (["--compressor", "uniform", "--bits", 1], "bits must be from 2 to 8"),
        (["--bucket-size", 0], "bucket_size must be at least 1"),
        (["--compressor", "unifrom"], "did you mean 'uniform'?"),
        (["--exchange", "twophase"], "did you mean 'two-phase'?"),
        (["--compressor", "none", "--bits", 4], "none has no parameter 'bits'"),
        (["--batch-size", 0], "a batch of 0 cannot be split over 1 ranks"),
        (["--dataset", "cifar10", "--data-dir", "/nowhere"], "--dataset digits, which needs none"),
        (["--dataset", "imagenet"], "unknown dataset 'imagenet'; known are digits, mnist, cifar10"),
        (["--loss", "wgan-pg"], "did you mean 'wgan-gp'?"),
        (["--device", "cuda"], "there is no CUDA device"),
        (["--expect-ranks", 3], "expected 3 ranks but there are 1"),
        (["--checkpoint-every", 0.3], "checkpoint_every must be a positive multiple of 1/2 update"),
    ],
)
def test_bad_input_ends_with_code_2_before_anything_is_written(tmp_path, arguments, sentence):
    result = call(*QUICK, "--out", tmp_path / "run", *arguments)
    assert result.exit_code == 2
    assert sentence in result.stderr
    assert not (tmp_path / "run").exists()


def test_a_folder_with_a_run_is_not_written_over(finished):
    before = (finished / "summary.json").read_text()
    result = call(*QUICK, "--out", finished, "--updates", 1)
    assert (result.exit_code, "holds a run already" in result.stderr) == (2, True)
    assert (finished / "summary.json").read_text() == before


def test_diverging_training_ends_in_one_sentence_and_a_loadable_checkpoint(tmp_path):
    out = tmp_path / "run"
    result = call(*QUICK, "--out", out, "--updates", 200, "--checkpoint-every", 0.5, "--discriminator-lr", 1e30)
    assert result.exit_code == 1
    assert "Error: Inf or NaN in a gradient on rank 0: " in result.stderr
    assert " parameter '" in result.stderr
    assert checkpoint.load(out / "checkpoint.pt", KIND)["move"] >= 1


def test_help_names_every_option_and_shows_examples():
    text = call("gan", "--help").output
    for option in ("--compressor", "--bits", "--bucket-size", "--exchange", "--resume", "--expect-ranks", "--data-dir"):
        assert option in text
    assert "horovodrun -np 3" in text


class TestLevels:
    ARGUMENTS = ("--compressor", "alq", "--bits", 3, "--coding", "huffman", "--compress-from", 16)

    def test_what_was_learned_is_logged(self, tmp_path):
        out = tmp_path / "run"
        train(out, *self.ARGUMENTS, "--updates", 8, "--levels-at", "0,5")
        with (out / "levels.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert [(int(row["update"]), int(row["version"])) for row in rows] == [(1, 1), (6, 2)]
        for row in rows:
            levels = [float(row[f"level_{index}"]) for index in range(4)]
            assert levels[0] == 0 < levels[1] < levels[2] < levels[3] == 1
            assert float(row["new_variance"]) <= float(row["old_variance"])
        events = EventAccumulator(str(out / "tensorboard" / "levels")).Reload()
        logged = [(event.step, event.value) for event in events.Scalars("level_1")]
        assert logged == [(int(row["update"]), pytest.approx(float(row["level_1"]))) for row in rows]

    def test_players_that_move_in_turn_learn_levels_of_their_own(self, tmp_path):
        out = tmp_path / "run"
        alternating = ("--optimizer", "adam", "--critic-steps", 2)
        train(out, *self.ARGUMENTS, *alternating, "--updates", 4, "--levels-at", "0,2")
        with (out / "levels.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert [(int(row["update"]), int(row["version"])) for row in rows] == [(1, 1), (1, 1), (3, 2), (3, 2)]
        assert len({row["level_1"] for row in rows}) == 4

    @pytest.mark.parametrize("every", [0.5, 1, 2.5])
    @pytest.mark.parametrize("stopped_at", [9, 10, 11, 13])
    def test_resumed_across_a_lesson_the_log_has_every_lesson_once(self, tmp_path, monkeypatch, stopped_at, every):
        """The second lesson comes with move 10, the first half-step of the sixth update."""
        whole, out = tmp_path / "whole", tmp_path / "run"
        arguments = (*self.ARGUMENTS, "--updates", 8, "--levels-at", "0,5", "--checkpoint-every", every)
        expected = train(whole, *arguments)
        interrupt(monkeypatch, stopped_at, out, *arguments)
        result = call("gan", "--resume", out)
        assert result.exit_code == 0, result.output
        found = json.loads((out / "summary.json").read_text())
        assert found["replica_hash"] == expected["replica_hash"]
        assert found["bytes_sent"] == expected["bytes_sent"]
        assert (out / "levels.csv").read_bytes() == (whole / "levels.csv").read_bytes()

    def test_a_schedule_that_never_fires_is_a_warning(self, tmp_path):
        result = call(*QUICK, *self.ARGUMENTS, "--updates", 3, "--levels-at", "3", "--out", tmp_path / "run")
        assert result.exit_code == 0, result.output
        assert "Warning: levels never adapt in 3 updates with --levels-at '3'" in result.stderr

    def test_a_schedule_that_fires_is_none(self, tmp_path):
        result = call(*QUICK, *self.ARGUMENTS, "--updates", 3, "--out", tmp_path / "run")
        assert "Warning" not in result.stderr


def test_gradients_are_saved_before_compression(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    train(one, "--updates", 3, "--gradients-at", "1,3", "--compressor", "none")
    train(other, "--updates", 3, "--gradients-at", "1,3", "--compressor", "uniform", "--compress-from", 1)
    assert sorted(path.name for path in (one / "gradients").iterdir()) == ["000001.pt", "000003.pt"]
    first, same = (torch.load(out / "gradients" / "000001.pt", weights_only=True) for out in (one, other))
    assert all(torch.equal(first[name], same[name]) for name in first)
    third, differs = (torch.load(out / "gradients" / "000003.pt", weights_only=True) for out in (one, other))
    assert not all(torch.equal(third[name], differs[name]) for name in third)
    assert any(name.startswith("generator.") for name in first)
    assert any(name.startswith("discriminator.") for name in first)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--compressor", "variable", "--coding", "huffman"], "variable has no symbols to code"),
        (["--compressor", "levels", "--level-set", "0,0.5,0.2,1"], "levels must increase"),
        (["--compressor", "levels", "--level-set", "0,0.2,0.5,2"], "levels must lie in [0, 1]"),
        (["--compressor", "levels", "--level-set", "0,0.2,0.5,0.9"], "the last level must be 1"),
        (["--compressor", "levels", "--level-set", "0,1"], "too few for 3 bits"),
        (["--optimizer", "qgen"], "unknown optimizer 'qgen'"),
        (["--bits", "2.5"], "minmax: bits must be a whole number, not 2.5"),
        (["--bits", "many"], "'many' is not a number"),
    ],
)
def test_bad_levels_codes_and_methods(tmp_path, arguments, sentence):
    result = call(*QUICK, "--out", tmp_path / "run", *arguments)
    assert result.exit_code == 2, result.output
    assert sentence in result.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("number", ["0", "two", "-1"])
def test_threads_that_cannot_be_are_found_before_work_starts(tmp_path, monkeypatch, number):
    monkeypatch.setattr(threads, "_crew", None)
    monkeypatch.setenv("HVD_QGENX_THREADS", number)
    result = call(*QUICK, "--out", tmp_path / "run")
    assert result.exit_code == 2
    assert f"HVD_QGENX_THREADS is '{number}', not a positive number of threads" in result.output
    assert not (tmp_path / "run").exists()
