"""Training of an autoencoder over in-process ranks: gradients, terms, scores, resume, gossip, pictures."""

import copy
import math
from dataclasses import replace

import pytest
import torch
from PIL import Image

from compressors.random import generator
from hvd_qgenx.data import InMemory
from hvd_qgenx.data.streams import RandomStream
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.scores.extractor import Extractor, Features
from hvd_qgenx.tasks import scoring
from hvd_qgenx.tasks.parts import Parts
from hvd_qgenx.tasks.vae.bounds import Bounds
from hvd_qgenx.tasks.vae.divergence import divergence
from hvd_qgenx.tasks.vae.likelihood import Likelihood
from hvd_qgenx.tasks.vae.models.autoencoder import Posterior, pixel_values
from hvd_qgenx.tasks.vae.objective import terms
from hvd_qgenx.tasks.vae.pictures import COLUMNS, most_used, traversals
from hvd_qgenx.tasks.vae.settings import RATES, VaeConfig
from hvd_qgenx.tasks.vae.task import VaeTask
from hvd_qgenx.training.resize import resized
from hvd_qgenx.training.trainer import Trainer
from hvd_qgenx.transport import inprocess
from hvd_qgenx.transport.environment import CACHE
from hvd_qgenx.transport.inprocess import InProcess

K = 3
SMALL = {"batch_size": 12, "epochs": 2.0, "compress_from": 32, "width": 16, "latent": 3}


def images(count: int, seed: int, channels: int = 1) -> InMemory:
    random = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (count, channels, 8, 8), generator=random)
    return InMemory("noise", pixels.to(torch.uint8), torch.zeros(count))


PARTS = Parts(images(63, 0), images(541, 1))


def trainer(transport, parts: Parts = PARTS, **changes) -> Trainer:
    config = VaeConfig(**{**SMALL, **changes}).completed()
    return Trainer(VaeTask(config, parts, transport))


def gradients(transport, **changes) -> list[torch.Tensor]:
    """The mean gradients of the first move."""
    run = trainer(transport, **{"compressor": "none", **changes})
    run.task.fill_gradients(0)
    run.optimizers[0].synchronize()
    return [parameter.grad.clone() for parameter in run.task.model.parameters()]


@pytest.mark.parametrize(
    "changes",
    [{}, {"batch_size": 11}, {"model": "conv", "width": 4}, {"likelihood": "gaussian"}, {"kl_weight": 4.0}],
    ids=str,
)
def test_ranks_together_have_the_gradient_of_the_whole_batch(changes):
    (whole,) = inprocess.run(1, lambda transport: gradients(transport, **changes))
    for split in inprocess.run(K, lambda transport: gradients(transport, **changes)):
        for one, other in zip(whole, split, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_the_total_correlation_is_that_of_each_ranks_own_batch():
    """So the gradient is the mean over ranks of what each finds among its own images."""

    def work(transport):
        found = gradients(transport, objective="beta-tc", kl_weight=6.0)
        task = trainer(transport, objective="beta-tc", kl_weight=6.0).task
        places = task.split.places(0)
        noise = torch.randn(12, 3, generator=generator(0, RandomStream.POSTERIOR, 0))[places.start : places.stop]
        pixels = pixel_values(task.batches(0)[0])
        posterior = task.model.encode(pixels)
        codes = posterior.codes(noise)
        reconstruction = task.likelihood.negative_log(task.model.decode(codes), pixels)
        loss = terms("beta-tc", 6.0, reconstruction, codes, posterior, 63)["loss"] / len(pixels)
        return found, torch.autograd.grad(loss, list(task.model.parameters()))

    everyone = inprocess.run(2, work)
    for place, found in enumerate(everyone[0][0]):
        expected = torch.stack([own[place] for _, own in everyone]).mean(0)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("objective", ["elbo", "beta-tc"])
def test_terms_of_training_are_means_over_samples_that_add_up(objective):
    def work(transport):
        run = trainer(transport, objective=objective, kl_weight=3.0)
        run.advance()
        run.advance()
        loss = run.task.mean_losses()["train"]
        return loss, run.task.measure(2), run.task.measures

    everyone = inprocess.run(K, work)
    loss, measured, columns = everyone[0]
    assert everyone[1] == everyone[0]
    assert set(columns) == set(measured)
    if objective == "elbo":
        assert loss == pytest.approx(measured["reconstruction"] + 3 * measured["kl"], rel=1e-5)
        return
    parts = [measured[f"kl/{name}"] for name in ("mutual_information", "total_correlation", "dimension_wise")]
    assert sum(parts) == pytest.approx(measured["kl"], abs=1e-4)
    assert loss == pytest.approx(measured["reconstruction"] + sum(parts) + 2 * parts[1], rel=1e-5)


@pytest.mark.parametrize("optimizer", RATES)
def test_every_optimizer_trains_and_keeps_replicas_equal(optimizer):
    def work(transport):
        run = trainer(transport, optimizer=optimizer)
        before = copy.deepcopy(run.task.model.state_dict())
        while run.updates < 2:
            run.advance()
        assert all(not torch.equal(value, before[name]) for name, value in run.task.model.state_dict().items())
        return run.replica_hash()

    assert len(set(inprocess.run(2, work))) == 1


CHANGES = [
    {"objective": "beta-tc", "score_weights": "raw,ema"},
    {"model": "conv", "width": 4, "lr_schedule": "cosine", "warmup_epochs": 0.5},
    {"optimizer": "extra-adam", "likelihood": "gaussian", "compressor": "alq", "levels_at": "0,1"},
    {"mixing": "choco", "compressor": "sign"},
]


@pytest.mark.parametrize("changes", CHANGES, ids=str)
def test_resumed_after_any_move_it_goes_on_bit_for_bit(changes):
    def work(transport, resume_at):
        run = trainer(transport, **changes)
        for move in range(4):
            if move == resume_at:
                state = copy.deepcopy(run.state_dict())
                run = trainer(transport, **changes)
                run.load_state_dict(state)
            run.advance()
        return run.replica_hash(), run.report.bytes_sent, run.task.mean_losses(), run.task.measure(2)

    expected = inprocess.run(2, lambda t: work(t, None))
    for resume_at in range(4):
        assert inprocess.run(2, lambda t, at=resume_at: work(t, at)) == expected


def test_with_other_numbers_of_ranks_it_goes_on_and_counts_every_sample_once():
    """Three ranks, then two, then four: as an elastic run loses hosts and gets others."""
    state: dict = {}
    for part, ranks in enumerate((3, 2, 4)):

        def work(transport, state=state, part=part):
            run = trainer(transport)
            if state:
                run.load_state_dict(resized(copy.deepcopy(state), transport.size))
            while run.updates < 2 * (part + 1):
                run.advance()
            samples = [sums[-1] for sums in transport.all_gather_object(tuple(run.task.tally.sums), "samples")]
            return {**run.state_dict(), "hash": run.replica_hash(), "samples": sum(samples)}

        before = state
        everyone = inprocess.run(ranks, work)
        state = everyone[0]
        assert len({each["hash"] for each in everyone}) == 1
        kept = sum(each["sums"][-1] for each in before["ranks"][:ranks]) if before else 0
        assert state["samples"] == kept + 2 * SMALL["batch_size"]


@pytest.fixture
def network():
    """An autoencoder with weights large enough for codes to matter."""
    model = trainer(InProcess()).task.model
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(4)
    return model


@pytest.mark.parametrize("likelihood", [Likelihood("bernoulli", 0.1), Likelihood("gaussian", 0.2)], ids=str)
def test_scores_are_those_of_a_plain_loop_on_any_number_of_ranks(network, likelihood):
    bounds = Bounds(likelihood, seed=5, samples=2)

    def work(transport):
        return bounds.evaluate(network, PARTS.test, torch.device("cpu"), transport)

    (alone,) = inprocess.run(1, work)
    for ranks in (2, 3):
        assert all(found == alone for found in inprocess.run(ranks, work))
    reconstruction = kl = 0.0
    with torch.no_grad():
        for number, block in enumerate(PARTS.test.images.split(250)):
            posterior = network.encode(block / 255)
            noise = torch.randn(len(block), 3, generator=generator(5, RandomStream.CODES, number))
            logits = network.decode(posterior.codes(noise))
            reconstruction += float(likelihood.negative_log(logits, block / 255).double().sum()) / 541
            kl += float(divergence(posterior).double().sum()) / 541
    assert alone["reconstruction"] == pytest.approx(reconstruction, rel=1e-5)
    assert alone["kl"] == pytest.approx(kl, rel=1e-6)
    assert alone["negative_elbo"] == pytest.approx(reconstruction + kl, rel=1e-5)


def test_more_importance_samples_tighten_the_bound(network):
    def found(samples: int) -> dict[str, float]:
        bounds = Bounds(Likelihood("bernoulli", 0.1), seed=0, samples=samples)
        return bounds.evaluate(network, PARTS.test, torch.device("cpu"), InProcess())

    bounds = {samples: found(samples) for samples in (1, 10, 100)}
    assert bounds[1]["negative_iwae"] == pytest.approx(bounds[1]["negative_elbo"], rel=0.02)
    assert bounds[1]["negative_elbo"] > bounds[10]["negative_iwae"] > bounds[100]["negative_iwae"]
    assert len({each["negative_elbo"] for each in bounds.values()}) == 1
    assert "negative_iwae" not in found(0)


class Pixels(Extractor):
    """Whose features are the mean values of the four quarters of an image."""

    def __init__(self, *_, device: torch.device, **settings) -> None:
        super().__init__("pixels", torch.nn.AvgPool2d(4), "pixels", 4, device)

    def _extract(self, images: torch.Tensor) -> Features:
        return Features(self._network(images.float() / 255).flatten(1))


@pytest.fixture
def pixels(tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    monkeypatch.setattr(scoring, "make_extractor", lambda _, images, **settings: Pixels(**settings))


@pytest.mark.usefixtures("pixels")
def test_the_distance_of_samples_is_the_same_on_any_number_of_ranks():
    def work(transport):
        run = trainer(transport, frechet_samples=230, score_weights="raw,ema")
        run.task.prepare(download=False, stored=None)
        run.task.warm_up()
        run.task.model.load_state_dict(weights)
        found = run.task.evaluate(1)
        assert set(found) == set(run.task.score_columns)
        saved = VaeTask.scorer(run.config, PARTS, run.task.device, transport, download=False)(run.task.model)
        return found, saved

    weights = trainer(InProcess()).task.model.state_dict()
    ((found, saved),) = inprocess.run(1, work)
    for ranks in (2, 3):
        assert inprocess.run(ranks, work) == [(found, saved)] * ranks
    assert found["frechet_pixels/raw"] == saved["frechet_pixels"] > found["bias/frechet_pixels"] > 0
    assert found["negative_elbo/raw"] == saved["negative_elbo"]


def test_with_gossip_every_rank_scores_its_own_parameters():
    def work(transport):
        run = trainer(transport, mixing="choco", compressor="sign", local_images=100, importance_samples=5)
        run.advance()
        return run.task.evaluate_alone()

    everyone = inprocess.run(K, work)
    assert all(set(found) == {"negative_elbo"} for found in everyone)
    assert len({found["negative_elbo"] for found in everyone}) == K


def test_evaluating_and_drawing_do_not_disturb_training(tmp_path):
    def work(transport, watched):
        run = trainer(transport, importance_samples=2)
        for _ in range(3):
            run.advance()
            if watched:
                run.task.evaluate(run.updates)
                run.task.draw(tmp_path / f"{transport.rank}.png")
        return run.replica_hash()

    assert inprocess.run(2, lambda t: work(t, False)) == inprocess.run(2, lambda t: work(t, True))


def test_the_global_generator_is_left_alone(tmp_path):
    before = torch.get_rng_state()
    run = trainer(InProcess(), model="conv", width=4, importance_samples=2)
    run.advance()
    run.task.evaluate(run.updates)
    run.task.draw(tmp_path / "picture.png")
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_picture_has_its_parts_and_does_not_change(tmp_path, channels):
    parts = Parts(images(63, 0, channels), images(20, 1, channels))
    task = trainer(InProcess(), parts).task
    for name in ("one", "two"):
        task.draw(tmp_path / f"{name}.png")
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    zoom = 5  # 15 images of 9 pixels, and 1, are 136 wide
    rows = 4 + 4 + 3  # images and reconstructions of 15 and of 5, samples, 3 dimensions
    assert Image.open(tmp_path / "one.png").size == (136 * zoom, (rows * 9 + 3) * zoom + 3 * 21)


def test_the_dimensions_that_carry_most_are_traversed():
    posterior = Posterior(torch.tensor([[0.0, 3.0, 1.0], [0.0, -3.0, 1.0]]), torch.zeros(2, 3))
    assert most_used(posterior) == [1, 2, 0]
    codes = traversals(posterior.mean[0], [1, 2]).view(2, COLUMNS, 3)
    assert codes[0, :, 1].tolist() == pytest.approx(torch.linspace(-3, 3, COLUMNS).tolist())
    assert codes[1, COLUMNS // 2].tolist() == pytest.approx([0.0, 3.0, 0.0], abs=1e-6)


def test_images_need_no_labels_and_may_be_of_colour():
    parts = Parts(images(63, 0, 3), images(20, 1, 3))
    assert parts.train.classes == 1
    run = trainer(InProcess(), parts, model="conv", width=4)
    run.advance()
    assert math.isfinite(run.task.mean_losses()["train"])


@pytest.mark.parametrize(
    ("changes", "ranks", "sentence"),
    [
        ({"model": "con"}, 1, "unknown model 'con'; did you mean 'conv'"),
        ({"likelihood": "gauss"}, 1, "unknown likelihood 'gauss'; did you mean 'gaussian'"),
        ({"objective": "beta"}, 1, "unknown objective 'beta'; did you mean 'beta-tc'"),
        ({"noise": 0.5}, 1, "noise is for --likelihood gaussian; the likelihood is bernoulli"),
        ({"likelihood": "gaussian", "noise": 0.0}, 1, "noise must be positive, not 0.0"),
        ({"importance_samples": -1}, 1, "importance_samples must be at least 0, not -1"),
        ({"frechet_samples": 3}, 1, "3 samples are too few for a Fréchet distance; use at least 10"),
        ({"kl_weight": -1.0}, 1, "kl_weight must be at least 0, not -1.0"),
        ({"latent": 0}, 1, "latent must be at least 1, not 0"),
        ({"width": 0}, 1, "width must be at least 1, not 0"),
        ({"objective": "beta-tc", "batch_size": 5}, 3, "a batch of 5 is too small for 3 rank"),
        ({"optimizer": "lbfgs"}, 1, "unknown optimizer"),
    ],
)
def test_bad_configurations_are_named(changes, ranks, sentence):
    with pytest.raises(ConfigurationError, match=sentence):
        VaeConfig(**{**SMALL, **changes}).check(ranks)


def test_a_side_that_the_model_does_not_take_is_named():
    config = replace(VaeConfig(), model="conv").completed()
    odd = InMemory("odd", torch.zeros(3, 1, 30, 30, dtype=torch.uint8), torch.zeros(3))
    with pytest.raises(ConfigurationError, match=r"conv takes images of side 8, 12, 16 and so on .* not 30"):
        VaeTask.check_data(config, Parts(odd, odd), None)
