"""The generator of a run's folder is the one that was trained."""

import json
from dataclasses import replace

import pytest
import torch

from hvd_qgenx.data import InMemory
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.runs import RunFolder, checkpoint
from hvd_qgenx.tasks.gan.saved import SavedRun
from hvd_qgenx.tasks.gan.settings import GanConfig
from hvd_qgenx.tasks.gan.task import GanTask
from hvd_qgenx.training.config import WEIGHTS
from hvd_qgenx.training.run import Run
from hvd_qgenx.training.trainer import Trainer
from hvd_qgenx.transport.inprocess import InProcess

PIXELS = torch.randint(0, 256, (40, 1, 8, 8), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
IMAGES = InMemory("noise", PIXELS, torch.arange(40) % 10)
SMALL = GanConfig(batch_size=8, filters=4, latent=8, generator_lr=0.05).completed()


def train(folder: RunFolder, config: GanConfig = SMALL, moves: int = 6) -> Trainer:
    """A run that was stopped at its checkpoint after so many moves."""
    folder.create({**config.as_dict(), "ranks": 1, "preset": None})
    trainer = Trainer(GanTask(config, IMAGES, InProcess()))
    for _ in range(moves):
        trainer.advance()
    Run(trainer, folder).save_checkpoint()
    return trainer


@pytest.fixture
def folder(tmp_path) -> RunFolder:
    return RunFolder(tmp_path / "run")


@pytest.mark.parametrize("norm", ["layer", "batch"])
@pytest.mark.parametrize("conditional", [False, True])
def test_every_kind_of_weights_makes_the_images_that_training_makes(folder, norm, conditional):
    config = replace(SMALL, generator_norm=norm, conditional=conditional)
    trainer, saved = train(folder, config), SavedRun.read(folder.path)
    assert saved.config == config
    assert saved.inputs.classes == (10 if conditional else 0)
    latents, labels = saved.inputs.draw(5, 1, 2)
    made = []
    for weights in WEIGHTS:
        generator = saved.generator(weights)
        assert not generator.training
        made.append(generator(latents, labels))
        own = trainer.task.weighted_generator(weights)
        assert torch.equal(made[-1], own(latents, labels))
    assert all(not torch.equal(one, other) for n, one in enumerate(made) for other in made[:n])


@pytest.mark.parametrize(("moves", "updates", "text"), [(1, 0.5, "0.5"), (6, 3, "3"), (7, 3.5, "3.5")])
def test_updates_count_half_steps_too(folder, moves, updates, text):
    train(folder, moves=moves)
    saved = SavedRun.read(folder.path)
    assert (saved.updates, str(saved.updates)) == (updates, text)


def test_nothing_is_drawn_from_global_generators(folder):
    train(folder)
    before = torch.random.get_rng_state()
    SavedRun.read(folder.path).generator("ema")
    assert torch.equal(torch.random.get_rng_state(), before)


def test_unknown_weights(folder):
    train(folder, moves=2)
    with pytest.raises(ConfigurationError, match="unknown weights 'emma'; did you mean 'ema'"):
        SavedRun.read(folder.path).generator("emma")


def test_what_is_no_run_or_has_no_checkpoint(folder):
    with pytest.raises(ConfigurationError, match="holds no run"):
        SavedRun.read(folder.path)
    folder.create(SMALL.as_dict())
    with pytest.raises(ConfigurationError, match=r"there is no checkpoint .* stopped before its first one"):
        SavedRun.read(folder.path)


def test_runs_of_other_versions_say_what_they_lack(folder):
    train(folder, moves=2)
    state = checkpoint.load(folder.checkpoint, "hvd-qgenx gan")
    del state["averages"], state["kind"]
    checkpoint.save(folder.checkpoint, "hvd-qgenx gan", state)
    with pytest.raises(ConfigurationError, match=r"checkpoint\.pt was written by another version: it lacks averages"):
        SavedRun.read(folder.path)
    config = json.loads(folder.config.read_text())
    del config["ema"]
    folder.config.write_text(json.dumps(config))
    with pytest.raises(ConfigurationError, match=r"config\.json was written by another version: it lacks ema"):
        SavedRun.read(folder.path)
