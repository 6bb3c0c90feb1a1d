"""Presets: what they set, what they extend, and that they train."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from hvd_qgenx.data import InMemory
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.tasks.classify.settings import ClassifyConfig
from hvd_qgenx.tasks.gan.settings import GanConfig
from hvd_qgenx.tasks.gan.task import GanTask
from hvd_qgenx.tasks.registry import TASKS
from hvd_qgenx.training import presets
from hvd_qgenx.training.asked import Setting, configure, merge, read, values
from hvd_qgenx.training.settings import compressor_parameters, declared
from hvd_qgenx.training.trainer import Trainer
from hvd_qgenx.transport.inprocess import InProcess

# Gidel et al.'s files: loss, norm of D, step sizes of D and G, EMA, filters; then optimizer and critic steps.
GIDEL = {
    "dcgan_wgan_adam1": ("wgan", "batch", 2e-4, 2e-5, 0.999, 64, "adam", 0),
    "dcgan_wgan_adam5": ("wgan", "batch", 2e-4, 2e-5, 0.9999, 64, "adam", 5),
    "dcgan_wgan_optimisticadam": ("wgan", "batch", 2e-4, 2e-5, 0.9999, 64, "optimistic-adam", 0),
    "dcgan_wgan_pastextraadam": ("wgan", "batch", 2e-4, 2e-5, 0.9999, 64, "past-extra-adam", 0),
    "dcgan_wgan_extraadam": ("wgan", "batch", 5e-4, 5e-5, 0.999, 64, "extra-adam", 0),
    "dcgan_wgangp_adam1": ("wgan-gp", "none", 1e-4, 1e-4, 0.9999, 64, "adam", 0),
    "dcgan_wgangp_adam5": ("wgan-gp", "none", 1e-4, 1e-4, 0.9999, 64, "adam", 5),
    "dcgan_wgangp_optimisticextraadam": ("wgan-gp", "none", 1e-4, 1e-4, 0.9999, 64, "optimistic-adam", 0),
    "dcgan_wgangp_pastextraadam": ("wgan-gp", "none", 1e-4, 1e-4, 0.9999, 64, "past-extra-adam", 0),
    "dcgan_wgangp_extraadam": ("wgan-gp", "none", 5e-4, 5e-4, 0.9999, 64, "extra-adam", 0),
    "resnet_wgangp_adam1": ("wgan-gp", "none", 2e-4, 2e-5, 0.9999, 128, "adam", 0),
    "resnet_wgangp_adam5": ("wgan-gp", "none", 2e-4, 2e-5, 0.9999, 128, "adam", 5),
    "resnet_wgangp_optimisticadam": ("wgan-gp", "none", 2e-4, 2e-5, 0.9999, 128, "optimistic-adam", 0),
    "resnet_wgangp_pastextraadam": ("wgan-gp", "none", 2e-4, 2e-5, 0.9999, 128, "past-extra-adam", 0),
    "resnet_wgangp_extraadam": ("wgan-gp", "none", 5e-4, 5e-5, 0.9999, 128, "extra-adam", 0),
}
PUBLISHED = {
    "dataset": "cifar10",
    "model": "resnet",
    "filters": 128,
    "latent": 128,
    "generator_norm": "layer",
    "discriminator_norm": "none",
    "loss": "wgan-gp",
    "penalty": 10.0,
    "batch_size": 1024,
    "updates": 500_000,
    "seed": 1234,
    "optimizer": "extra-adam",
    "generator_lr": 5e-5,
    "discriminator_lr": 5e-4,
    "beta1": 0.5,
    "beta2": 0.9,
    "ema": 0.9999,
    "score_every": 245,
    "score_samples": 50_000,
    "features": "inception",
}
LAPTOP = {
    "dataset": "cifar10",
    "model": "dcgan",
    "filters": 32,
    "generator_norm": "layer",
    "discriminator_norm": "none",
    "batch_size": 24,
    "updates": 1500,
    "optimizer": "extra-adam",
    "generator_lr": 2e-4,
    "discriminator_lr": 1e-3,
    "ema": 0.99,
    "score_every": 250,
    "score_samples": 2500,
    "features": "resnet56",
}
MODES = {
    "full": ("none", {}),
    "uq8": ("minmax", {"bits": 8, "bucket_size": 1024}),
    "uq4": ("minmax", {"bits": 4, "bucket_size": 1024}),
    "nuq": ("alq", {"bits": 3, "bucket_size": 1024}),
}
IMAGES = InMemory(
    "noise",
    torch.randint(0, 256, (8, 3, 32, 32), generator=torch.Generator().manual_seed(0)).to(torch.uint8),
    torch.arange(8) % 10,
)


def config(name: str) -> GanConfig:
    return configure(GanConfig, presets.load(GanConfig, name).merged() | read(GanConfig, {"device": "cpu"}, "test"))


def test_there_are_those_of_the_reference_the_papers_and_small_ones():
    assert set(presets.names(GanConfig)) == {*GIDEL, *MODES, *(f"small-{mode}" for mode in MODES)}


@pytest.mark.parametrize("name", GIDEL)
def test_presets_of_the_reference(name):
    loss, norm, discriminator_lr, generator_lr, ema, filters, optimizer, critic_steps = GIDEL[name]
    assert config(name) == GanConfig(
        dataset="cifar10",
        model=name.partition("_")[0],
        batch_size=64,
        updates=500_000,
        seed=1318,
        loss=loss,
        penalty=10.0,
        clip=0.01,
        filters=filters,
        latent=128,
        generator_norm="batch",
        discriminator_norm=norm,
        optimizer=optimizer,
        epsilon_place="after" if optimizer == "adam" else "before",  # as torch has it, and as the reference has it
        generator_lr=generator_lr,
        discriminator_lr=discriminator_lr,
        beta1=0.5,
        beta2=0.9,
        critic_steps=critic_steps,
        compressor="none",
        ema=ema,
    )


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("prefix", "common"), [("", PUBLISHED), ("small-", LAPTOP)], ids=["paper", "small"])
def test_the_papers_modes_differ_in_compression_alone(prefix, common, mode):
    compressor, parameters = MODES[mode]
    found = config(prefix + mode)
    for name, value in {
        **common,
        "compressor": compressor,
        "levels_at": "0,200,1000,5000",
        "levels_every": 10_000,
    }.items():
        assert getattr(found, name) == value, name
    assert {name: found.compressor_parameters[name] for name in parameters} == parameters
    fp32 = config(f"{prefix}full")
    same = {"compressor": "none", "compressor_parameters": {}}
    assert replace(found, **same) == fp32


@pytest.mark.parametrize("name", presets.names(GanConfig))
def test_every_preset_trains(name):
    """Two updates with few filters and images; what happens in them is the preset's."""
    tiny = replace(config(name), batch_size=4, filters=8)
    trainer = Trainer(GanTask(tiny, IMAGES, InProcess()))
    weights = [
        parameter
        for player in trainer.task.players.values()
        for parameter in player.parameters()
        if parameter.dim() > 1
    ]
    before = [weight.detach().clone() for weight in weights]
    while trainer.updates < 2:
        trainer.advance()
    for old, new in zip(before, weights, strict=True):
        assert torch.isfinite(new).all()
        assert not torch.equal(old, new)


@pytest.mark.parametrize("name", presets.names(GanConfig))
def test_every_preset_says_what_it_is(name):
    assert len(presets.describe(GanConfig, name)) > 20


RANKS = {"choco-social": 32}
OTHER_RULES = {"choco-top1": ("lr",), "choco-deepsqueeze": ("lr",), "choco-social": ("batch_size",)}
"""Settings by which presets differ from their family beside those of communication."""


@pytest.mark.parametrize("name", presets.names(ClassifyConfig))
def test_every_preset_of_classifiers_can_be_run(name):
    found = configure(ClassifyConfig, presets.load(ClassifyConfig, name).merged())
    found.check(ranks=RANKS.get(name, 16))
    assert len(presets.describe(ClassifyConfig, name)) > 20
    family = "choco-small" if name.startswith("choco-small") else f"{name.partition('-')[0]}-full"
    full = configure(ClassifyConfig, presets.load(ClassifyConfig, family).merged())
    same = ("compressor", "compressor_parameters", "feedback", "momentum_place", "exchange", "mixing", "topology")
    same += ("consensus_step_size", "quasi_global_momentum", *OTHER_RULES.get(name, ()))
    assert replace(found, **{each: getattr(full, each) for each in same}) == full


def test_resolved_there_are_values_alone():
    found = values(presets.load(GanConfig, "small-uq4").merged())
    assert (found["bits"], found["compressor"], found["filters"]) == (4, "minmax", 32)
    assert "extends" not in found


class TestFiles:
    def write(self, folder: Path, **texts: str) -> None:
        for name, text in texts.items():
            (folder / f"{name}.toml").write_text(text)

    def load(self, folder: Path, name: str = "one") -> presets.Preset:
        return presets.load(GanConfig, str(folder / f"{name}.toml"))

    def test_a_file_extends_a_preset_or_a_file_beside_it(self, tmp_path):
        self.write(
            tmp_path, one='# Mine\nextends = "two.toml"\nseed = 7', two='extends = "small-uq8"\nseed = 6\nbits = 6'
        )
        found = self.load(tmp_path)
        assert found.about == "Mine"
        merged = found.merged()
        assert merged["seed"] == Setting(7, f"preset {tmp_path}/one.toml")
        assert merged["bits"] == Setting(6, "preset two.toml")
        assert merged["bucket_size"] == Setting(1024, "preset small-uq8")
        assert merged["filters"] == Setting(32, "preset small-full")

    @pytest.mark.parametrize(
        ("text", "sentence"),
        [
            ("bitts = 3", "unknown setting 'bitts'; did you mean 'bits'?"),
            ("batch-size = 3", "unknown setting 'batch-size'; did you mean 'batch_size'?"),
            ("[compressor_parameters]\nbits = 3", "unknown setting 'compressor_parameters'"),
            ("updates = 1.5", "updates must be a whole number, not 1.5"),
            ("updates = true", "updates must be a whole number, not True"),
            ("penalty = '10'", "penalty must be a number, not '10'"),
            ("conditional = 1", "conditional must be true or false, not 1"),
            ("loss = ['wgan']", "loss must be text, not ['wgan']"),
            ("bucket_size = 10.0", "bucket_size must be a whole number, not 10.0"),
            ("bits = '3'", "bits must be a number, not '3'"),
            ("extends = 3", "extends must be the name of one preset, not 3"),
            ("extends = 'fulll'", "unknown preset 'fulll'; did you mean 'full'?"),
            ("extends = 'else.toml'", "else.toml cannot be read: No such file or directory"),
            ("extends = 'one.toml'", "it extends itself"),
            ("seed = 1\nloss =\n", "one.toml is not TOML: Invalid value (at line 2, column 7)"),
            ("seed = 1\nloss = '''wgan", "(at line 2, the end)"),
            ("seed = 1\nseed = 2\n", "(at line 2, column 9)"),
        ],
    )
    def test_what_is_no_preset(self, tmp_path, text, sentence):
        self.write(tmp_path, one=text)
        with pytest.raises(ConfigurationError) as caught:
            self.load(tmp_path)
        assert sentence in str(caught.value)
        assert f"{tmp_path}/one.toml" in str(caught.value)

    def test_circles_are_found_however_they_are_written(self, tmp_path):
        self.write(tmp_path, one='extends = "two.toml"', two=f'extends = "../{tmp_path.name}/one.toml"')
        with pytest.raises(ConfigurationError, match=r"one.toml: .*two.toml: .*one.toml: it extends itself"):
            self.load(tmp_path)

    def test_the_faults_of_a_parent_are_the_parents(self, tmp_path):
        self.write(tmp_path, one='extends = "two.toml"', two="bits = 'x'")
        with pytest.raises(ConfigurationError, match=r"one.toml: .*two.toml: line 1: bits must be a number"):
            self.load(tmp_path)

    def test_a_name_without_a_file(self):
        with pytest.raises(ConfigurationError, match="unknown preset 'small-uq9'; did you mean 'small-uq8'"):
            presets.load(GanConfig, "small-uq9")

    def test_whole_numbers_may_stand_for_numbers(self, tmp_path):
        self.write(tmp_path, one="penalty = 5\ncompressor = 'variable'\nbits = 2")
        found = configure(GanConfig, self.load(tmp_path).merged())
        assert type(found.penalty) is float
        assert found.compressor_parameters["bits"] == 2


class TestMerging:
    def test_the_last_wins(self):
        merged = merge(
            GanConfig, [read(GanConfig, {"seed": 1, "filters": 8}, "first"), read(GanConfig, {"seed": 2}, "second")]
        )
        assert merged == {"seed": Setting(2, "second"), "filters": Setting(8, "first")}

    def test_another_compressor_keeps_the_parameters_that_it_has(self):
        before = read(GanConfig, {"compressor": "minmax", "bits": 8, "bucket_size": 512}, "first")
        for other, kept in {
            "none": set(),
            "dither": {"bits", "bucket_size"},
            "minmax": {"bits", "bucket_size"},
        }.items():
            merged = merge(GanConfig, [before, read(GanConfig, {"compressor": other}, "second")])
            assert merged.keys() - {"compressor"} == kept, other

    def test_parameters_beside_a_compressor_are_not_taken_from_it(self):
        merged = merge(GanConfig, [read(GanConfig, {"compressor": "none", "bits": 4}, "one")])
        with pytest.raises(ConfigurationError, match="none has no parameter 'bits'"):
            configure(GanConfig, merged)


def test_fields_and_parameters_have_different_names():
    for task in TASKS.values():
        assert not declared(task).keys() & compressor_parameters().keys()
