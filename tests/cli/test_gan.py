"""hvd-qgenx gan in one process: what a run leaves, resume, bad input."""

import csv
import errno
import itertools
import json
import os
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from compressors.kernels import threads
from hvd_qgenx.cli import main
from hvd_qgenx.data import InMemory, sets
from hvd_qgenx.runs import checkpoint
from hvd_qgenx.scores import Scorer
from hvd_qgenx.tasks import scoring
from hvd_qgenx.tasks.gan import task
from hvd_qgenx.tasks.gan.losses import PHASES
from hvd_qgenx.tasks.gan.settings import GanConfig
from hvd_qgenx.training import launch, presets
from hvd_qgenx.training.settings import compressor_parameters, declared
from tests.stopping import stopped_before

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
    with stopped_before(monkeypatch, move):
        result = call(*QUICK, "--out", out, *arguments)
    assert result.exit_code == 130, result.output
    assert not (out / "summary.json").exists()


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "finished"
    train(out, "--updates", 8, "--checkpoint-every", 3)
    return out


def test_a_run_is_a_folder(finished):
    config = json.loads((finished / "config.json").read_text())
    assert config["compressor_parameters"] == {"bits": 4, "bucket_size": 1024, "rounding": "correlated"}
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
    assert set(summary["seconds"]) == {"total", "data", *PHASES, "waiting", "optimizer", "encode", "wire", "decode"}


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
    monkeypatch.setattr(sets, "read", lambda name, folder, part: seen.append(folder) or IMAGES)
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
    assert (
        result.exit_code,
        "the run has 3 ranks, not 1: start as many, or give --ranks-may-change" in result.stderr,
    ) == (2, True)


def test_ranks_as_threads_go_on_bit_for_bit(tmp_path):
    """Each has tensors of its own, whatever they load."""
    for name, updates in (("whole", 4), ("parts", 2)):
        train(tmp_path / name, "--updates", updates, "--local-ranks", 3)
    result = call("gan", "--resume", tmp_path / "parts", "--updates", 4, "--local-ranks", 3)
    assert result.exit_code == 0, result.output
    hashes = [json.loads((tmp_path / name / "summary.json").read_text())["replica_hash"] for name in ("whole", "parts")]
    assert hashes[0] == hashes[1]


def test_a_run_goes_on_with_another_number_of_ranks_if_it_is_asked_to(tmp_path):
    out = tmp_path / "run"
    train(out, "--updates", 2, "--local-ranks", 3, "--compressor", "minmax")
    assert call("gan", "--resume", out, "--updates", 4, "--local-ranks", 2).exit_code == 2
    result = call("gan", "--resume", out, "--updates", 4, "--local-ranks", 2, "--ranks-may-change")
    assert result.exit_code == 0, result.output
    summary = json.loads((out / "summary.json").read_text())
    assert (summary["ranks"], summary["updates"]) == (2, 4)


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
        (["--dataset", "imagenet"], "unknown dataset 'imagenet'; known are digits, mnist, fashion-mnist, cifar10"),
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
    assert (result.exit_code, "already holds a run" in result.stderr) == (2, True)
    assert (finished / "summary.json").read_text() == before


def test_diverging_training_ends_in_one_sentence_and_a_loadable_checkpoint(tmp_path):
    out = tmp_path / "run"
    result = call(*QUICK, "--out", out, "--updates", 200, "--checkpoint-every", 0.5, "--discriminator-lr", 1e30)
    assert result.exit_code == 1
    assert "Error: Inf or NaN in a gradient on rank 0: " in result.stderr
    assert " parameter '" in result.stderr
    assert checkpoint.load(out / "checkpoint.pt", "hvd-qgenx gan")["move"] >= 1


def test_help_names_every_option_and_shows_examples():
    text = call("gan", "--help").output
    for name in (
        *declared(GanConfig),
        *compressor_parameters(),
        "preset",
        "show-config",
        "resume",
        "expect-ranks",
        "label",
    ):
        assert f"--{name.replace('_', '-')} " in text
    assert "horovodrun -np 3" in text
    headings = ("Images:", "Players:", "Training:", "Compression:", "Scores:", "Machine:", "The run:")
    assert [line for line in text.splitlines() if line in headings] == list(headings)


class TestPresets:
    ALQ = """# Mine
        filters = 4
        latent = 8
        batch_size = 8
        compressor = "alq"
        bits = 2
        conditional = true
    """

    @pytest.fixture
    def mine(self, tmp_path):
        path = tmp_path / "mine.toml"
        path.write_text(self.ALQ)
        return path

    def config(self, *arguments: object):
        result = call("gan", "--show-config", "--json", *arguments)
        assert result.exit_code == 0, result.output
        return {name: (each["value"], each["origin"]) for name, each in json.loads(result.stdout).items()}

    def test_a_preset_applies_and_options_win(self, tmp_path, mine):
        out = tmp_path / "run"
        arguments = ("--preset", mine, "--updates", 1, "--no-conditional", "--bits", 3, "--label", "1 gbit")
        result = call("gan", "--out", out, *arguments)
        assert result.exit_code == 0, result.output
        found = json.loads((out / "config.json").read_text())
        assert (found["filters"], found["latent"], found["batch_size"], found["compressor"]) == (4, 8, 8, "alq")
        assert (found["updates"], found["conditional"], found["compressor_parameters"]["bits"]) == (1, False, 3)
        assert (found["preset"], found["link"]) == (str(mine), "1 gbit")

    def test_without_one_there_is_none(self, finished):
        config = json.loads((finished / "config.json").read_text())
        assert (config["preset"], config["link"]) == (None, None)

    def test_every_value_has_its_origin(self, monkeypatch):
        monkeypatch.setenv("HVD_QGENX_DATA", "/images")
        found = self.config("--preset", "small-uq4", "--updates", 1500, "--beta1", 0)
        assert found["bits"] == (4, "preset small-uq4")
        assert found["filters"] == (32, "preset small-full")
        assert found["updates"] == (1500, "command line")
        assert found["beta1"] == (0.0, "command line")
        assert found["data_dir"] == ("/images", "environment")
        assert found["generator_lr"] == (2e-4, "the optimizer's own")
        assert found["delta"] == (300.0, "default")
        assert set(found) == {*declared(GanConfig), "bits", "bucket_size", "rounding"}

    def test_an_option_that_says_the_default_wins_too(self, mine):
        assert self.config("--preset", mine, "--filters", 32)["filters"] == (32, "command line")

    def test_another_compressor_takes_what_it_has_of_the_presets_parameters(self):
        found = self.config("--preset", "uq8", "--compressor", "uniform")
        assert (found["bits"], found["norm"]) == ((8, "preset uq8"), ("l2", "default"))
        assert "bits" not in self.config("--preset", "uq8", "--compressor", "none")

    def test_showing_does_nothing_else(self, tmp_path, monkeypatch):
        monkeypatch.setattr(launch, "start", lambda *_: pytest.fail("work began"))
        result = call("gan", "--preset", "nuq", "--seed", 3, "--out", tmp_path / "run", "--show-config")
        assert result.exit_code == 0, result.output
        for words in (
            ("bits", "3", "preset nuq"),
            ("seed", "3", "command line"),
            ("batch_size", "1024", "preset full"),
        ):
            assert re.search(r"\s+".join(words), result.stdout)
        assert "nuq extends full extends resnet_wgangp_extraadam" in " ".join(result.stdout.split())
        assert not (tmp_path / "run").exists()

    def test_what_a_resumed_run_is_shown_as(self, finished):
        found = self.config("--resume", finished, "--updates", 9)
        assert found["updates"] == (9, "command line")
        assert found["filters"] == (4, f"resumed run {finished}")
        assert found["generator_lr"] == (2e-4, f"resumed run {finished}")

    def test_resumed_with_its_preset_it_goes_on(self, tmp_path, mine):
        out = tmp_path / "run"
        same = ("--preset", mine, "--compressor", "none")
        assert call("gan", "--out", out, "--updates", 1, *same).exit_code == 0
        assert call("gan", "--resume", out, "--updates", 2).exit_code == 0
        assert json.loads((out / "config.json").read_text())["preset"] == str(mine)
        assert call("gan", "--resume", out, "--updates", 3, *same).exit_code == 0
        refused = call("gan", "--resume", out, "--updates", 4, "--preset", mine)
        assert refused.exit_code == 2
        assert "compressor was none, not alq" in refused.stderr

    def test_a_preset_with_an_unknown_key_is_refused(self, tmp_path, mine):
        mine.write_text("# Mine\nfliters = 3")
        result = call("gan", "--preset", mine, "--out", tmp_path / "run")
        assert result.exit_code == 2
        assert result.stderr == f"Error: {mine}: line 2: unknown setting 'fliters'; did you mean 'filters'?\n"

    @pytest.mark.parametrize(
        ("text", "sentence"),
        [
            ('device = "gpu"', "unknown device 'gpu'; did you mean 'cpu'?"),
            ('loss = "wgna"', "unknown loss 'wgna'; did you mean 'wgan'?"),
            ('compressor = "minmaxx"', "unknown compressor 'minmaxx'; did you mean 'minmax'?"),
            ('compressor = "none"\nbits = 3', "none has no parameter 'bits'"),
            ("ema = 1", "ema must be at least 0 and below 1"),
        ],
    )
    def test_a_preset_with_a_bad_value_is_refused(self, tmp_path, mine, text, sentence):
        mine.write_text(text)
        result = call("gan", "--preset", mine, "--out", tmp_path / "run")
        assert result.exit_code == 2
        assert sentence in result.stderr
        assert not (tmp_path / "run").exists()

    def test_they_are_listed(self):
        lines = call("gan", "--list-presets").stdout.splitlines()
        assert [line.split()[0] for line in lines] == list(presets.names(GanConfig))
        assert presets.describe(GanConfig, "nuq") in "\n".join(lines)


class TestScoring:
    """With a scorer that only tells what is asked of it."""

    class Fake:
        names, bias, samples, real = ("distance",), {"distance": 0.5}, 100, range(1000)

        def __init__(self, extractor, images, transport, samples, flip):
            self.extractor, self.given, self.prepared = extractor, (images, samples, flip), None
            self.distance = "distance"

        def prepare(self):
            self.prepared = sorted(path.name for path in self.folder.iterdir())

        def score(self, generate):
            assert self.prepared
            return {"distance": float(generate(range(2)).float().mean())}

    @pytest.fixture
    def scorers(self, tmp_path, monkeypatch):
        made = []

        def make_scorer(*arguments, **settings):
            made.append(self.Fake(*arguments, **settings))
            made[-1].folder = tmp_path / "run"
            return made[-1]

        def make_extractor(name, _, **settings):
            chosen = f"found-{len(made)}" if name == "auto" else name
            return SimpleNamespace(name=chosen, dimensions=64, **settings)

        monkeypatch.setattr(scoring, "Scorer", make_scorer)
        monkeypatch.setattr(scoring, "make_extractor", make_extractor)
        return made

    ARGUMENTS = (
        "--score-every",
        2,
        "--score-samples",
        100,
        "--augmentation",
        "flip",
        "--inception-weights",
        "here.pth",
    )

    def test_scores_come_from_the_scorer_that_was_asked_for(self, tmp_path, scorers):
        out = tmp_path / "run"
        result = call(*QUICK, "--out", out, "--updates", 5, *self.ARGUMENTS, "--data-dir", "/images", "--download")
        assert result.exit_code == 0, result.output
        (scorer,) = scorers
        assert scorer.given[1:] == (100, True)
        assert scorer.given[0].name == "digits"
        assert (scorer.extractor.data_dir, scorer.extractor.download) == (Path("/images"), True)
        assert scorer.extractor.inception_weights == Path("here.pth")
        assert scorer.prepared == [".lock", "samples"]  # a run stopped meanwhile has not begun
        with (out / "scores.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert [int(row["update"]) for row in rows] == [2, 4, 5]
        assert all(float(row["distance/raw"]) != float(row["distance/ema"]) for row in rows)
        assert "Warning: distance of 100 samples and 1000 real images is biased" in result.stderr

    def test_a_resumed_run_keeps_its_extractor(self, tmp_path, scorers):
        out = tmp_path / "run"
        train(out, "--updates", 1, *self.ARGUMENTS)
        assert json.loads((out / "config.json").read_text())["extractor"] == "found-0"
        assert call("gan", "--resume", out, "--updates", 2).exit_code == 0
        assert [scorer.extractor.name for scorer in scorers] == ["found-0", "found-0"]
        assert json.loads((out / "config.json").read_text())["extractor"] == "found-0"

    def test_without_scores_nobody_scores(self, tmp_path, scorers):
        train(tmp_path / "run", "--updates", 1)
        assert not scorers


class TestRealScores:
    """Of digits, on the classifier that they have."""

    ARGUMENTS = ("--updates", 8, "--score-every", 2, "--score-samples", 200, "--checkpoint-every", 3)

    @pytest.fixture(scope="class")
    @classmethod
    def scored(cls, tmp_path_factory):
        out = tmp_path_factory.mktemp("scored") / "run"
        train(out, *cls.ARGUMENTS)
        return out

    def test_scoring_does_not_disturb_training(self, scored, finished):
        hashes = [json.loads((run / "summary.json").read_text())["replica_hash"] for run in (scored, finished)]
        assert hashes[0] == hashes[1]

    @pytest.mark.parametrize("interrupted", [5, 8])
    def test_stopped_while_scoring_it_ends_as_if_it_had_not(self, tmp_path, monkeypatch, scored, interrupted):
        """At the second generator of a score: the last checkpoint is older, and updates are done again."""
        calls, score = itertools.count(1), Scorer.score

        def stops(self, generate):
            if next(calls) == interrupted:
                raise KeyboardInterrupt
            return score(self, generate)

        run = tmp_path / "run"
        with monkeypatch.context() as patch:
            patch.setattr(Scorer, "score", stops)
            assert call(*QUICK, "--out", run, *self.ARGUMENTS).exit_code == 130
        result = call("gan", "--resume", run)
        assert result.exit_code == 0, result.output
        summaries = [json.loads((path / "summary.json").read_text()) for path in (run, scored)]
        for key in ("replica_hash", "losses"):
            assert summaries[0][key] == summaries[1][key]
        assert scores_of(run) == scores_of(scored)


def scores_of(run: Path) -> list[dict[str, str]]:
    with (run / "scores.csv").open() as file:
        return [{k: v for k, v in row.items() if not k.startswith("seconds")} for row in csv.DictReader(file)]


def test_a_full_disk_ends_in_one_sentence_that_names_the_file(tmp_path, monkeypatch):
    def full(path, *_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(checkpoint, "save", full)
    result = call(*QUICK, "--out", tmp_path / "run", "--updates", 2)
    assert result.exit_code == 1
    assert result.stderr.endswith(f"Error: {tmp_path}/run/checkpoint.pt: No space left on device\n")


def test_images_without_labels_have_nothing_to_be_conditional_on(tmp_path, monkeypatch):
    unlabelled = InMemory("celeba", IMAGES.images, torch.zeros(20))
    unlabelled.classes = 0
    monkeypatch.setattr(task, "load_images", lambda *_, **__: unlabelled)
    result = call(*QUICK, "--out", tmp_path / "run", "--dataset", "celeba", "--conditional")
    assert result.exit_code == 2
    assert "celeba has no labels; leave out --conditional" in result.stderr


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

    def test_groups_of_tensors_learn_levels_of_their_own_and_go_on_with_them(self, tmp_path, monkeypatch):
        """Stopped after the level update that has changed their widths."""
        whole, out = tmp_path / "whole", tmp_path / "run"
        arguments = (*self.ARGUMENTS, "--updates", 6, "--levels-at", "0,3", "--checkpoint-every", 1)
        arguments = (*arguments, "--levels-by", "kind", "--layer-bits", "global")
        expected = train(whole, *arguments)
        with (whole / "levels.csv").open() as file:
            rows = list(csv.DictReader(file))
        groups = {f"{player}.{kind}" for player in ("generator", "discriminator") for kind in ("first", "last")}
        assert groups <= {row["group"] for row in rows}
        assert len({row["bits"] for row in rows}) > 1
        for row in rows:
            assert row[f"level_{2 ** (int(row['bits']) - 1) - 1}"] == "1.0"
        events = EventAccumulator(str(whole / "tensorboard" / "levels")).Reload()
        assert "generator.first/bits" in events.Tags()["scalars"]
        interrupt(monkeypatch, 9, out, *arguments)
        result = call("gan", "--resume", out)
        assert result.exit_code == 0, result.output
        found = json.loads((out / "summary.json").read_text())
        assert (found["replica_hash"], found["bytes_sent"]) == (expected["replica_hash"], expected["bytes_sent"])
        assert (out / "levels.csv").read_bytes() == (whole / "levels.csv").read_bytes()

    @pytest.mark.parametrize("every", [0.5, 1, 2.5])
    @pytest.mark.parametrize("stopped_at", [9, 10, 11, 13])
    def test_resumed_across_a_level_update_the_log_has_each_once(self, tmp_path, monkeypatch, stopped_at, every):
        """The second level update comes with move 10, the first half-step of the sixth update."""
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
    assert sorted(path.name for path in (one / "gradients").iterdir()) == ["000001.pt", "000003.pt", "layers.json"]
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
        (["--levels-by", "kind"], "minmax has no levels to adapt to groups of tensors; alq, alq-gd and amq have"),
        (["--compressor", "alq", "--levels-by", "kinds"], "unknown rule for levels_by 'kinds'; did you mean 'kind'?"),
        (["--compressor", "alq", "--levels-by", "a=b*"], "no tensor's name fits 'b*'; there are generator."),
        (["--compressor", "alq", "--levels-by", "a=*upsample*"], "no group of levels has the tensor"),
        (["--compressor", "alq", "--layer-bits", "global"], "needs groups of tensors; give --levels-by kind"),
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
    monkeypatch.setattr(threads, "_given", None)
    monkeypatch.setenv("HVD_QGENX_THREADS", number)
    result = call(*QUICK, "--out", tmp_path / "run")
    assert result.exit_code == 2
    assert f"HVD_QGENX_THREADS is '{number}', not a positive number of threads" in result.output
    assert not (tmp_path / "run").exists()
