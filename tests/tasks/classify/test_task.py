"""Training of a classifier over in-process ranks: averages, weights of shares, step sizes, resume, evaluation."""

import copy
import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from hvd_qgenx.data import InMemory, normalized
from hvd_qgenx.errors import ConfigurationError, TrainingError
from hvd_qgenx.tasks.classify.settings import RATES, ClassifyConfig
from hvd_qgenx.tasks.classify.statistics import estimate_statistics, norms_of
from hvd_qgenx.tasks.classify.task import ClassifyTask, Parts
from hvd_qgenx.training.resize import resized
from hvd_qgenx.training.trainer import Trainer
from hvd_qgenx.transport import inprocess
from hvd_qgenx.transport.inprocess import InProcess

K = 3
SMALL = {"model": "resnet8", "batch_size": 12, "epochs": 2.0, "compress_from": 32}


def images(count: int, seed: int) -> InMemory:
    random = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (count, 1, 8, 8), generator=random)
    return InMemory("noise", pixels.to(torch.uint8), torch.arange(count) % 7)


PARTS = Parts(images(63, 0), images(41, 1))


def trainer(transport, **changes) -> Trainer:
    config = ClassifyConfig(**{**SMALL, **changes}).completed()
    return Trainer(ClassifyTask(config, PARTS, transport))


def gradients(transport, **changes) -> list[torch.Tensor]:
    """The mean gradients of the first move."""
    run = trainer(transport, **{"compressor": "none", "model": "mlp", **changes})
    run.task.fill_gradients(0)
    run.optimizers[0].synchronize()
    return [parameter.grad.clone() for parameter in run.task.model.parameters()]


@pytest.mark.parametrize("changes", [{}, {"batch_size": 11}, {"accumulation": 3}, {"label_smoothing": 0.1}], ids=str)
def test_ranks_together_have_the_gradient_of_the_whole_batch(changes):
    (whole,) = inprocess.run(1, lambda transport: gradients(transport, **changes))
    for split in inprocess.run(K, lambda transport: gradients(transport, **changes)):
        for one, other in zip(whole, split, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-7)


def test_accumulated_parts_have_the_gradient_of_the_whole_batch():
    whole, parts = (inprocess.run(1, lambda t, n=n: gradients(t, accumulation=n))[0] for n in (1, 4))
    for one, other in zip(whole, parts, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("split", ["fixed", "sorted", "dirichlet"])
def test_samples_of_uneven_shares_weigh_alike(split):
    """The mean over ranks is the mean over all samples that the ranks have drawn."""

    def work(transport):
        found = gradients(transport, split=split, dirichlet_alpha=0.3 if split == "dirichlet" else 1.0, seed=1)
        run = trainer(transport, split=split, model="mlp", dirichlet_alpha=0.3 if split == "dirichlet" else 1.0, seed=1)
        drawn = transport.all_gather_object(run.task.split.indices(0), "drawn")
        everything = [place for own in drawn for place in own]
        pixels, labels = PARTS.train.take(everything)
        F.cross_entropy(run.task.model(normalized(pixels)), labels).backward()
        return found, [parameter.grad for parameter in run.task.model.parameters()], list(map(len, drawn))

    for found, expected, sizes in inprocess.run(K, work):
        assert len(set(sizes)) > 1 or split != "dirichlet"
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-7)


def test_a_rank_without_samples_in_a_draw_adds_nothing():
    parts = Parts(images(40, 3), PARTS.test)
    parts.train.labels[:] = torch.tensor([0] * 38 + [1] * 2)

    def work(transport):
        config = ClassifyConfig(
            model="mlp", batch_size=4, split="dirichlet", dirichlet_alpha=0.5, seed=4, compressor="none"
        )
        run = Trainer(ClassifyTask(config.completed(), parts, transport))
        for _ in range(12):
            run.advance()
        return [run.task.split.counts(draw) for draw in range(12)], run.replica_hash()

    everyone = inprocess.run(2, work)
    assert any(0 in counts for counts in everyone[0][0])
    assert everyone[0] == everyone[1]


@pytest.mark.parametrize("optimizer", RATES)
def test_every_optimizer_trains_and_keeps_replicas_equal(optimizer):
    def work(transport):
        run = trainer(transport, optimizer=optimizer, compressor="rotated", momentum=0.9)
        before = copy.deepcopy(run.task.model.state_dict())
        while run.updates < 2:
            run.advance()
        moved = [name for name, value in run.task.model.state_dict().items() if not torch.equal(value, before[name])]
        return len(moved) / len(before), run.replica_hash()

    everyone = inprocess.run(2, work)
    assert everyone[0] == everyone[1]
    assert everyone[0][0] > 0.9


CHANGES = [
    {},
    {"accumulation": 2, "augmentation": "crop-flip", "clip_norm": 0.5},
    {"lr_schedule": "cosine", "warmup_epochs": 0.5},
    {"lr_schedule": "one-cycle", "split": "sorted"},
    {"lr_schedule": "multistep", "score_weights": "raw,ema", "optimizer": "adamw"},
    {"optimizer": "extra-adam", "compressor": "alq", "levels_at": "0,1"},
]


@pytest.mark.parametrize("changes", CHANGES, ids=str)
def test_resumed_after_any_move_it_goes_on_bit_for_bit(changes):
    def work(transport, resume_at):
        run = trainer(transport, **changes)
        rates = []
        for move in range(5):
            if move == resume_at:
                state = copy.deepcopy(run.state_dict())
                run = trainer(transport, **changes)
                run.load_state_dict(state)
            run.advance()
            rates.append(run.optimizers[0].param_groups[0]["lr"])
        return run.replica_hash(), run.report.bytes_sent, rates, run.task.mean_losses()

    expected = inprocess.run(2, lambda t: work(t, None))
    for resume_at in range(5):
        assert inprocess.run(2, lambda t, at=resume_at: work(t, at)) == expected


@pytest.mark.parametrize("split", ["reshuffled", "fixed"])
def test_with_other_numbers_of_ranks_it_goes_on_and_counts_every_sample_once(split):
    """Three ranks, then two, then four: as an elastic run loses hosts and gets others."""
    state: dict = {}
    for part, ranks in enumerate((3, 2, 4)):

        def work(transport, state=state, part=part):
            run = trainer(transport, split=split, optimizer="adam")
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
        kept = sum(each["sums"][2] for each in before["ranks"][:ranks]) if before else 0
        assert state["samples"] == kept + 2 * SMALL["batch_size"]


def test_norms_and_biases_do_not_decay_unless_asked():
    for decay_all, decayed in ((False, [2]), (True, [1, 2])):
        run = trainer(InProcess(), decay_all=decay_all, weight_decay=0.01)
        groups = run.optimizers[0].param_groups
        dims = {min(p.dim(), 2) for group in groups if group["weight_decay"] for p in group["params"]}
        assert sorted(dims) == decayed
        assert sum(len(group["params"]) for group in groups) == len(list(run.task.model.parameters()))


def test_weight_decay_shrinks_weights_as_sgd_says():
    run = trainer(InProcess(), weight_decay=0.1, lr=0.5, momentum=0.0, compressor="none", model="mlp")
    plain = trainer(InProcess(), weight_decay=0.0, lr=0.5, momentum=0.0, compressor="none", model="mlp")
    before = [p.detach().clone() for p in run.task.model.parameters()]
    run.advance()
    plain.advance()
    for old, decayed, other in zip(before, run.task.model.parameters(), plain.task.model.parameters(), strict=True):
        expected = other.detach() - (0.5 * 0.1 * old if old.dim() > 1 else 0)
        torch.testing.assert_close(decayed.detach(), expected, rtol=1e-5, atol=1e-6)


def rates(ranks: int = 1, updates: int = 10, **changes) -> list[float]:
    """The step size of every update."""

    def work(transport):
        run = trainer(transport, model="mlp", epochs=None, updates=updates, compressor="none", **changes)
        found = []
        for _ in range(updates):
            found.append(run.optimizers[0].param_groups[0]["lr"])
            run.advance()
        return found

    return inprocess.run(ranks, work)[0]


class TestStepSizes:
    """Step sizes of runs whose epochs have 5.25 updates: 63 images in batches of 12."""

    def test_constant(self):
        assert rates(lr=0.2) == [0.2] * 10

    def test_multistep(self):
        assert rates(lr=1.0, lr_schedule="multistep") == pytest.approx([1.0] * 5 + [0.1] * 2 + [0.01] * 3)
        found = rates(lr=1.0, lr_schedule="multistep", lr_milestones="0.4,1.5", lr_gamma=0.5)
        assert found == pytest.approx([1.0] * 2 + [0.5] * 6 + [0.25] * 2)

    def test_cosine(self):
        expected = [0.5 * (1 + math.cos(math.pi * t / 10)) for t in range(10)]
        assert rates(lr=1.0, lr_schedule="cosine") == pytest.approx(expected)

    def test_one_cycle(self):
        """Half a cosine up within three tenths of 11 steps, another one down."""
        peak = 0.3 * 11 - 1

        def course(t: int) -> float:
            low, share = (1 / 25, 1 - t / peak) if t <= peak else (4e-6, (t - peak) / (10 - peak))
            return low + (1 - low) * (1 + math.cos(math.pi * share)) / 2

        assert rates(lr=1.0, lr_schedule="one-cycle") == pytest.approx([course(t) for t in range(10)])

    def test_warm_up(self):
        found = rates(lr=1.0, warmup_epochs=0.8, warmup_from=0.2)  # 4 updates
        assert found == pytest.approx([0.2, 0.4, 0.6, 0.8] + [1.0] * 6)
        assert rates(lr=1.0, warmup_epochs=0.8)[0] == pytest.approx(0.1)
        cosine = rates(lr=1.0, warmup_epochs=0.8, lr_schedule="cosine")
        assert cosine[4:] == pytest.approx([0.5 * (1 + math.cos(math.pi * t / 6)) for t in range(6)])

    @pytest.mark.parametrize(("scaling", "factor"), [("none", 1), ("linear", 3), ("sqrt", 3**0.5), ("0.25", 0.25)])
    def test_scaling(self, scaling, factor):
        assert rates(ranks=3, updates=2, lr=0.1, lr_scaling=scaling) == pytest.approx([0.1 * factor] * 2)

    def test_a_schedule_over_the_whole_run_does_not_change_its_length(self):
        config = ClassifyConfig(lr_schedule="cosine", epochs=4.0)
        with pytest.raises(ConfigurationError, match=r"the schedule cosine over the whole run.* it has 4 epochs"):
            config.replaced({"epochs": 5.0})
        assert config.replaced({"log_every": 3}).epochs == 4
        assert ClassifyConfig(epochs=4.0).replaced({"updates": 7}).epochs is None


def test_the_gradient_is_clipped_to_its_norm():
    run = trainer(InProcess(), clip_norm=1e-3, lr=1.0, momentum=0.0, weight_decay=0.0, compressor="none")
    before = [p.detach().clone() for p in run.task.model.parameters()]
    run.advance()
    steps = [p.detach() - old for p, old in zip(run.task.model.parameters(), before, strict=True)]
    assert float(torch.stack([step.norm() for step in steps]).norm()) == pytest.approx(1e-3, rel=1e-3)


@pytest.mark.parametrize("norm", ["batch", "group"])
def test_scores_are_those_of_a_plain_loop_on_any_number_of_ranks(norm):
    def work(transport):
        run = trainer(transport, model_norm=norm)
        run.task.model.load_state_dict(state)
        return ClassifyTask.score(run.task.model, run.config, PARTS, run.task.device, transport)

    state = trainer(InProcess(), model_norm=norm).task.model.state_dict()
    (alone,) = inprocess.run(1, work)
    for ranks in (2, 3):
        assert all(found == alone for found in inprocess.run(ranks, work))
    run = trainer(InProcess(), model_norm=norm)
    model = copy.deepcopy(run.task.model)
    if norm == "batch":  # one batch has all of the training images
        for module in norms_of(model):
            module.momentum = 1.0
        model.train()(normalized(PARTS.train.images))
    logits = model.eval()(normalized(PARTS.test.images)).double()
    labels = PARTS.test.labels
    ranking = logits.argsort(1, descending=True)
    assert alone["top1"] == pytest.approx(100 * float((ranking[:, 0] == labels).double().mean()))
    assert alone["top5"] == pytest.approx(100 * float((ranking[:, :5] == labels[:, None]).any(1).double().mean()))
    assert alone["test_loss"] == pytest.approx(float(F.cross_entropy(logits, labels).detach()), rel=1e-4)


def test_statistics_are_means_over_batches_whoever_looks_at_them():
    torch.manual_seed(0)
    inputs = torch.randn(50, 3, 4, 4)
    state = nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5)).state_dict()

    def work(transport):
        model = nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5))
        model.load_state_dict(state)
        estimate_statistics(model, lambda places: inputs[places.start : places.stop], 50, 16, transport)
        return model[1].running_mean, model[1].running_var

    ((mean, var),) = inprocess.run(1, work)
    model = nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5))
    model.load_state_dict(state)
    outputs = [model[0](batch).detach() for batch in inputs.split(16)]
    torch.testing.assert_close(mean, torch.stack([out.mean((0, 2, 3)) for out in outputs]).mean(0))
    torch.testing.assert_close(var, torch.stack([out.var((0, 2, 3)) for out in outputs]).mean(0))
    for found in inprocess.run(3, work):
        assert torch.equal(found[0], mean)
        assert torch.equal(found[1], var)


def test_evaluating_does_not_disturb_training():
    def work(transport, watched):
        run = trainer(transport)
        for _ in range(4):
            run.advance()
            if watched:
                run.task.evaluate(run.updates)
                run.task.mean_losses()
        return run.replica_hash()

    assert inprocess.run(2, lambda t: work(t, False)) == inprocess.run(2, lambda t: work(t, True))


def test_the_training_loss_is_the_mean_over_samples_since_the_last_time():
    def work(transport):
        run = trainer(transport, model="mlp", compressor="none", lr=1e-9, weight_decay=0.0)
        run.advance()
        run.advance()
        both = run.task.mean_losses()["train"], run.task.measure(2)["accuracy/train"]
        run.advance()
        return both, run.task.mean_losses()["train"], run.task.mean_losses()["train"]

    (one, last, again), *_ = inprocess.run(3, work)
    task = trainer(InProcess(), model="mlp").task
    drawn = [task.batches(draw) for draw in range(3)]
    with torch.no_grad():
        logits = [task.model(pixels) for pixels, _ in drawn]
    losses = [float(F.cross_entropy(each, labels)) for each, (_, labels) in zip(logits, drawn, strict=True)]
    correct = [
        float((each.argmax(1) == labels).double().mean()) for each, (_, labels) in zip(logits, drawn, strict=True)
    ]
    assert one == pytest.approx((sum(losses[:2]) / 2, 50 * sum(correct[:2])), rel=1e-5)
    assert last == again == pytest.approx(losses[2], rel=1e-5)


def test_divergence_ends_training():
    run = trainer(InProcess(), loss_limit=5.0)
    run.task.check_losses({"train": 4.9})
    for loss in (5.1, math.nan, math.inf):
        with pytest.raises(TrainingError, match=r"training has diverged: the loss is .*; lower --lr"):
            run.task.check_losses({"train": loss})


def test_the_best_scores_are_kept():
    run = trainer(InProcess())
    scores = iter([{"top1": value, "top5": 90.0, "test_loss": 1.0} for value in (50.0, 70.0, 60.0)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ClassifyTask, "score", lambda *_: next(scores))
        for update in (5, 10, 11):
            run.task.evaluate(update)
    assert run.task.summary()["best"]["top1/raw"] == 70
    assert run.task.summary()["best"]["epoch"] == pytest.approx(10 / 5.25)


@pytest.mark.parametrize(
    ("every", "expected"), [(1.0, [6, 11]), (0.5, [3, 6, 8, 11]), (0.0, [11]), (5.0, [11]), (0.01, list(range(1, 12)))]
)
def test_evaluations_come_with_the_update_that_ends_an_epoch(every, expected):
    """An epoch has 5.25 updates, and the run of two epochs 11."""
    task = trainer(InProcess(), evaluate_every=every).task
    assert task.updates == 11
    assert [update for update in range(1, 12) if task.evaluates(update)] == expected
    assert task.epoch(11) == 2


def test_a_run_in_epochs_shows_every_sample_as_often():
    task = trainer(InProcess(), epochs=4.0, batch_size=9).task
    assert task.updates == 28
    drawn = [place for draw in range(28) for place in task.split.indices(draw)]
    assert sorted(drawn) == sorted(list(range(63)) * 4)


@pytest.mark.parametrize(
    ("changes", "ranks", "sentence"),
    [
        ({"epochs": 2.0, "updates": 5}, 1, "is given in epochs or in updates; leave one of them out"),
        ({"epochs": 0.0}, 1, "epochs must be positive, not 0"),
        ({"accumulation": 5}, 1, "a batch of 12 cannot be accumulated in 5 equal parts"),
        ({"accumulation": 6}, 3, "a 6th of a batch of 12 cannot be split over 3 ranks"),
        ({"accumulation": 0}, 1, "accumulation must be at least 1, not 0"),
        ({"dirichlet_alpha": 0.5}, 1, "dirichlet_alpha is for --split dirichlet; the split is reshuffled"),
        ({"dirichlet_alpha": 0.0}, 1, "dirichlet_alpha must be positive"),
        ({"split": "sortet"}, 1, "unknown split 'sortet'; did you mean 'sorted'"),
        ({"model": "resnet21"}, 1, "unknown model 'resnet21'; did you mean 'resnet2"),
        ({"model_norm": "layr"}, 1, "unknown model norm 'layr'; did you mean 'layer'"),
        (
            {"optimizer": "adam", "dampening": 0.1},
            1,
            "adam has no dampening; it takes beta1, beta2, amsgrad, weight_decay",
        ),
        ({"lr_scaling": "cubic"}, 1, "lr_scaling must be none, linear, sqrt or a number, not 'cubic'"),
        ({"lr_scaling": "-1"}, 1, "lr_scaling must be"),
        ({"lr_milestones": "1,2"}, 1, "lr_milestones is for --lr-schedule multistep; the schedule is constant"),
        ({"lr_schedule": "multistep", "lr_milestones": "2,1"}, 1, "lr_milestones must be epochs that increase"),
        ({"lr_schedule": "multistep", "lr_milestones": "a"}, 1, "lr_milestones must be epochs that increase"),
        (
            {"lr_schedule": "multistep", "lr_milestones": "1", "warmup_epochs": 1.0},
            1,
            "begin before --warmup-epochs end",
        ),
        ({"lr_schedule": "one-cycle", "warmup_epochs": 1.0}, 1, "one-cycle has a warm-up of its own"),
        ({"warmup_from": 0.01}, 1, "warmup_from needs --warmup-epochs"),
        ({"score_weights": "raw,emma"}, 1, "unknown weights 'emma'; did you mean 'ema'"),
        ({"label_smoothing": 1.0}, 1, "label_smoothing must be at least 0 and below 1, not 1.0"),
    ],
)
def test_bad_configurations_are_named(changes, ranks, sentence):
    with pytest.raises(ConfigurationError, match=sentence):
        ClassifyConfig(**{**SMALL, **changes}).check(ranks)


def test_images_that_cannot_be_learned_are_named():
    config = ClassifyConfig(model="vgg11").completed()
    with pytest.raises(ConfigurationError, match="vgg11 takes images of side 17 or more, not 8"):
        ClassifyTask.check_data(config, PARTS, None)
    unlabelled = Parts(copy.copy(PARTS.train), PARTS.test)
    unlabelled.train.classes = 0
    with pytest.raises(ConfigurationError, match="has no labels to learn; choose another --dataset"):
        ClassifyTask.check_data(replace(config, model="mlp"), unlabelled, None)


def test_a_split_that_leaves_a_rank_empty_is_named():
    def work(transport):
        trainer(transport, split="dirichlet", dirichlet_alpha=0.001, seed=2)

    with pytest.raises(ConfigurationError, match=r"63 samples over 6 ranks by Dirichlet\(0.001\) leaves rank"):
        inprocess.run(6, work)


def test_milestones_beyond_the_run_are_a_warning():
    task = trainer(InProcess(), lr_schedule="multistep", lr_milestones="1,7").task
    assert "Warning: the run ends after 2 epochs, before --lr-milestones 7" in list(task.remarks())
