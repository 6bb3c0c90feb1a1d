"""The training loop over in-process ranks: averages, replicas, resume."""

import copy
import time

import pytest
import torch

from hvd_qgenx.data import InMemory
from hvd_qgenx.errors import ConfigurationError, NonFiniteGradientError, TrainingError
from hvd_qgenx.tasks.gan.losses import Batch, fill_gradients
from hvd_qgenx.tasks.gan.registry import LOSSES
from hvd_qgenx.tasks.gan.settings import RATES, GanConfig
from hvd_qgenx.tasks.gan.task import GanTask
from hvd_qgenx.training.trainer import Trainer
from hvd_qgenx.transport import inprocess

K = 3
SMALL = {"batch_size": 8, "filters": 4, "latent": 8, "compress_from": 32}
PIXELS = torch.randint(0, 256, (40, 1, 8, 8), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
IMAGES = InMemory("noise", PIXELS, torch.arange(40) % 10)


def trainer(transport, **changes) -> Trainer:
    config = GanConfig(**{**SMALL, **changes}).completed()
    return Trainer(GanTask(config, IMAGES, transport))


def players(trainer: Trainer):
    return trainer.task.players


@pytest.mark.parametrize("exchange", ["allreduce", "allgather", "two-phase"])
def test_both_players_gradients_are_averaged_at_both_half_steps(exchange):
    """The gradients each move uses are the means of those that the ranks computed."""

    def work(transport):
        run = trainer(transport, compressor="none", exchange=exchange)
        run.optimizers[0].zero_grad()
        for move in (run.optimizers[0].extrapolation, run.optimizers[0].step):
            run.task.fill_gradients(run.move)
            names = [(player, name) for player, model in players(run).items() for name, _ in model.named_parameters()]
            parameters = [p for model in players(run).values() for p in model.parameters()]
            local = [p.grad.clone() for p in parameters]
            everyone = transport.all_gather_object(local, "local")
            move()
            run.move += 1
            for (player, name), parameter, *gradients in zip(names, parameters, *everyone, strict=True):
                mean = torch.stack(gradients).mean(0)
                torch.testing.assert_close(parameter.grad, mean, msg=f"{player} {name} is not averaged")
                if name.endswith("weight"):
                    assert not torch.allclose(gradients[0], mean, rtol=1e-3), f"{player} {name} shows nothing"
            run.optimizers[0].zero_grad()

    inprocess.run(K, work)


@pytest.mark.parametrize("batch_size", [9, 10, 11])
def test_uneven_shares_weigh_by_their_size(batch_size):
    """With the same latents a batch split over ranks has the gradient of the whole batch."""

    def gradients(transport):
        run = trainer(transport, batch_size=batch_size, compressor="none", loss="wgan")
        everything = torch.randn(batch_size, 8, generator=torch.Generator().manual_seed(1))
        places = run.task.batches.split.places(0)
        mine = everything[places.start : places.stop]
        share = len(run.task.batches) * transport.size / batch_size
        batch = Batch(run.task.batches(0)[0], None, mine, torch.zeros(len(mine), 1, 1, 1))
        fill_gradients(run.task.pair, LOSSES["wgan"], batch, 0.0, share)
        run.optimizers[0].synchronize()
        return [p.grad for model in players(run).values() for p in model.parameters()]

    (whole,) = inprocess.run(1, gradients)
    for split in inprocess.run(K, gradients):
        for one, other in zip(whole, split, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("optimizer", ["extra-adam", "adam"])
@pytest.mark.parametrize("compressor", ["none", "fp16", "minmax", "uniform"])
def test_replicas_stay_identical_and_runs_repeat(compressor, optimizer):
    def work(transport):
        run = trainer(transport, compressor=compressor, optimizer=optimizer)
        for _ in range(8):
            run.advance()
        return run.replica_hash()

    first, second = inprocess.run(K, work), inprocess.run(K, work)
    assert len({*first, *second}) == 1


def test_seed_and_compression_change_the_outcome():
    def work(**changes):
        def one(transport):
            run = trainer(transport, **changes)
            run.advance()
            return run.replica_hash()

        return inprocess.run(K, one)[0]

    hashes = {work(), work(seed=1), work(compressor="none"), work(compressor_parameters={"bits": 3}), work(loss="wgan")}
    assert len(hashes) == 5


LEARNING = {"compressor": "alq", "coding": "huffman", "levels_at": "0,2", "levels_every": 0}


def moved_players(run: Trainer) -> set[str]:
    """Makes one move and tells whose parameters changed."""
    before = {name: copy.deepcopy(model.state_dict()) for name, model in players(run).items()}
    run.advance()
    return {
        name
        for name, model in players(run).items()
        if any(not torch.equal(value, before[name][key]) for key, value in model.state_dict().items())
    }


@pytest.mark.parametrize("optimizer", RATES)
def test_every_optimizer_trains_and_keeps_replicas_equal(optimizer):
    def work(transport):
        run = trainer(transport, optimizer=optimizer, compressor="rotated")
        moved = [moved_players(run) for _ in range(2 * run.config.moves_per_update)]
        run.replica_hash()
        assert run.updates == 2
        return moved

    for moved in inprocess.run(2, work):
        assert all(move == {"generator", "discriminator"} for move in moved)


@pytest.mark.parametrize("steps", [1, 3])
def test_critic_steps_move_one_player_at_a_time(steps):
    def work(transport):
        run = trainer(transport, optimizer="adam", critic_steps=steps)
        moved = [moved_players(run) for _ in range(2 * run.config.moves_per_update)]
        assert run.updates == 2
        return moved

    for moved in inprocess.run(2, work):
        assert moved == 2 * ([{"discriminator"}] * steps + [{"generator"}])


def test_levels_adapt_when_they_are_due():
    def work(transport):
        run = trainer(transport, **LEARNING)
        versions = []
        for _ in range(8):
            run.advance()
            versions.append(run.level_updates[""].version)
        return versions, run.level_updates, run.replica_hash()

    everyone = inprocess.run(K, work)
    assert everyone[0][0] == [1, 1, 1, 1, 2, 2, 2, 2]
    assert all(one == everyone[0] for one in everyone)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"optimizer": "adam"},
        {"compressor": "uniform", "generator_norm": "batch"},
        LEARNING,
        {**LEARNING, "optimizer": "adam", "critic_steps": 2},
        {"optimizer": "qgenx-de", "compressor": "variable", "compressor_parameters": {"weighting": "per-layer"}},
        {"optimizer": "qgenx-optda"},
    ],
    ids=str,
)
def test_resumed_after_any_move_it_goes_on_bit_for_bit(changes):
    def work(transport, resume_at):
        run = trainer(transport, **changes)
        for move in range(6):
            if move == resume_at:
                state = copy.deepcopy(run.state_dict())
                run = trainer(transport, **changes)
                run.load_state_dict(state)
            run.advance()
        return run.replica_hash(), run.report.bytes_sent

    expected = inprocess.run(K, lambda t: work(t, None))
    for resume_at in range(6):
        assert inprocess.run(K, lambda t, at=resume_at: work(t, at)) == expected


def averaged(run: Trainer) -> list[torch.Tensor]:
    return [p.detach() for name in ("ema", "uniform", "ergodic") for p in run.task.averages.module(name).parameters()]


def test_averages_are_resumed_too():
    def work(transport, resume_at):
        run = trainer(transport)
        for move in range(6):
            if move == resume_at:
                state = copy.deepcopy(run.state_dict())
                run = trainer(transport)
                run.load_state_dict(state)
            run.advance()
        return averaged(run)

    for resume_at in (1, 3, 4):
        for whole, resumed in zip(
            work(inprocess.InProcess(), None), work(inprocess.InProcess(), resume_at), strict=True
        ):
            assert torch.equal(whole, resumed)


@pytest.mark.parametrize("optimizer", ["qgenx-de", "qgenx-da", "qgenx-optda"])
def test_the_ergodic_average_is_the_one_of_the_theory(optimizer):
    """Which Q-GenX keeps for itself: of the points where each iteration's last dual vector was taken."""
    run = trainer(inprocess.InProcess(), optimizer=optimizer)
    while run.updates < 5:
        run.advance()
    with run.optimizers[0].averaged():
        theirs = [parameter.detach().clone() for parameter in run.task.generator.parameters()]
    for ours, expected in zip(run.task.averages.module("ergodic").parameters(), theirs, strict=True):
        torch.testing.assert_close(ours.detach(), expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("norm", ["layer", "batch"])
def test_pictures_are_the_same_on_all_ranks(norm):
    def work(transport):
        run = trainer(transport, generator_norm=norm, batch_size=9)
        run.advance()
        run.advance()
        return run.task.sample(3)

    first, second, third = inprocess.run(K, work)
    assert torch.equal(first, second)
    assert torch.equal(first, third)


def test_every_second_of_an_update_is_some_phases():
    run = trainer(inprocess.InProcess())
    start = time.perf_counter()
    for _ in range(6):
        run.advance()
    seconds, passed = run.task.timer.seconds(), time.perf_counter() - start
    assert set(seconds) == set(run.phases)
    assert all(value > 0 for value in seconds.values())
    assert 0.5 * passed < sum(seconds.values()) <= passed


def test_ranks_draw_latents_of_their_own():
    def work(transport):
        run = trainer(transport, compressor="none", batch_size=9)
        seen = []
        run.task.generator.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].clone()))
        run.advance()
        run.advance()
        return seen

    draws = [draw for rank in inprocess.run(K, work) for draw in rank]
    assert len({tuple(draw.flatten().tolist()) for draw in draws}) == 2 * K


def test_weight_clipping():
    def work(transport):
        run = trainer(transport, loss="wgan", clip=0.005)
        for _ in range(3):
            run.advance()
            assert max(float(p.detach().abs().max()) for p in run.task.discriminator.parameters()) <= 0.005

    inprocess.run(2, work)


@pytest.mark.parametrize("player", ["generator", "discriminator"])
def test_a_bad_gradient_names_rank_player_and_parameter(player):
    def work(transport):
        run = trainer(transport)
        run.advance()
        if transport.rank == 2:
            name, parameter = next(iter(players(run)[player].named_parameters()))
            parameter.register_hook(lambda gradient: gradient * float("nan"))
            broken.append(name)
        run.advance()

    broken: list[str] = []
    with pytest.raises(NonFiniteGradientError) as raised:
        inprocess.run(K, work)
    assert str(raised.value) == f"Inf or NaN in a gradient on rank 2: {player} parameter '{broken[0]}'"


def test_replicas_that_differ_are_found():
    def work(transport):
        run = trainer(transport)
        run.advance()
        if transport.rank == 1:
            next(run.task.generator.parameters()).data[0, 0] += 1e-6
        run.replica_hash()

    with pytest.raises(TrainingError, match=r"replicas differ after move 1: rank 0 .*, rank 1 .*"):
        inprocess.run(K, work)


def test_sampling_and_scoring_do_not_disturb_training():
    def work(transport, watched):
        run = trainer(transport)
        for _ in range(4):
            run.advance(measure_error=watched)
            if watched:
                run.task.sample(4)
                run.task.mean_losses()
        return run.replica_hash()

    assert inprocess.run(2, lambda t: work(t, False)) == inprocess.run(2, lambda t: work(t, True))


@pytest.mark.parametrize(
    ("changes", "ranks", "sentence"),
    [
        ({"batch_size": 2}, 3, "a batch of 2 cannot be split over 3 ranks"),
        ({"dataset": "cifar"}, 1, "unknown dataset 'cifar'; did you mean 'cifar10'"),
        ({"updates": 0}, 1, "updates must be positive, not 0"),
        ({"generator_lr": float("nan")}, 1, "generator_lr cannot be nan"),
        ({"checkpoint_every": 0.25}, 1, "checkpoint_every must be a positive multiple of 1/2"),
        ({"checkpoint_every": 0.5, "optimizer": "adam"}, 1, "checkpoint_every must be a positive multiple of 1/1"),
        ({"discriminator_norm": "batch"}, 1, "the gradient penalty is defined for single images"),
        ({"beta1": 1.0}, 1, "beta1 must be at least 0 and below 1, not 1.0"),
        ({"penalty": -1.0}, 1, "penalty must be positive, not -1.0"),
        ({"exchange": "allreduce"}, 1, "payloads of minmax cannot be averaged"),
        ({"exchange": "ring"}, 1, "unknown exchange 'ring'"),
        ({"compressor_parameters": {"bits": 9}}, 1, "bits must be from 1 to 8"),
        ({"compressor": "uniform", "compressor_parameters": {"bits": 1}}, 1, "bits must be from 2 to 8"),
        ({"optimizer": "qgenx"}, 1, "unknown optimizer 'qgenx'; did you mean 'qgenx-de'"),
        ({"optimizer": "adam", "momentum": 0.9}, 1, "adam has no momentum; it takes beta1, beta2, amsgrad"),
        ({"optimizer": "sgd", "nesterov": True}, 1, "nesterov needs a momentum"),
        ({"optimizer": "sgd", "momentum": 1.0}, 1, "momentum must be at least 0 and below 1"),
        ({"critic_steps": 2}, 1, "extra-adam moves both players at once"),
        ({"optimizer": "adam", "critic_steps": -1}, 1, "critic_steps must be at least 0, not -1"),
        ({"coding": "zip"}, 1, "unknown coding 'zip'; known are none, huffman"),
        ({"compressor": "variable", "coding": "huffman"}, 1, "variable has no symbols to code; compressors that have"),
        ({"levels_at": "0,7"}, 1, "minmax has no levels to adapt; compressors that have: alq, alq-gd, amq"),
        ({"compressor": "alq", "levels_at": "7,0"}, 1, "levels_at must increase"),
        ({"compressor": "levels", "compressor_parameters": {"level_set": "0,1"}}, 1, "2 levels are too few for 3 bits"),
        ({"gradients_at": "x"}, 1, "gradients_at must be updates with commas"),
    ],
)
def test_bad_configurations_are_named(changes, ranks, sentence):
    with pytest.raises(ConfigurationError, match=sentence):
        GanConfig(**{**SMALL, **changes}).check(ranks)
