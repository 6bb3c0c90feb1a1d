"""The training loop: one move after the other, of any task."""

import copy
import hashlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from compressors import IntegerCompressor, IntegerCounts, LevelUpdate, SummedCompressor
from hvd_qgenx.errors import TrainingError
from hvd_qgenx.exchange import Report
from hvd_qgenx.optim import DistributedOptimizer, layer_kinds
from hvd_qgenx.runs.folder import write_atomically
from hvd_qgenx.training.neighbourhood import Neighbourhood
from hvd_qgenx.training.task import Task

CLIPPED = "integers/clipped"
INTEGER_FACTS = ("integers/scale", "integers/largest", "integers/largest_sum", CLIPPED)
"""Scale of the next exchange (the largest of all tensors'; 0: it is not compressed), largest integer sent and largest
sum since the last row, share of coordinates that were clipped."""

DATA, WAITING, OPTIMIZER = "data", "waiting", "optimizer"


class Trainer:
    """A task's optimizers, and the position in the run.

    A move is one exchange, on a batch of its own: with extra-gradient the even moves extrapolate and
    the odd ones update, all players at once; with critic steps the players of a GAN move in turn. The
    state is complete between any two moves.
    """

    def __init__(self, task: Task) -> None:
        self.task, self.config, self.transport = task, task.config, task.transport
        self.gossip = Neighbourhood.of(self.config, self.transport)
        """With whom and how parameters are mixed; None if gradients are averaged."""
        self.optimizers = [self._make_optimizer(index) for index in range(len(task.turns))]
        self.schedulers = task.schedulers(self.optimizers)
        self.level_updates: dict[str, LevelUpdate] = {}
        """The last ones that a compressor applied, by group of tensors."""
        self.move = 0
        self._level_schedule = self.config.level_schedule

    @property
    def updates(self) -> float:
        """Updates done so far; half of one after an extrapolation."""
        return self.move / self.config.moves_per_update

    @property
    def phases(self) -> tuple[str, ...]:
        """The parts of an update's time."""
        return (DATA, *self.task.phases, WAITING, OPTIMIZER)

    @property
    def report(self) -> Report:
        """Bytes and seconds of all exchanges of this rank so far."""
        total = Report()
        for optimizer in self.optimizers:
            total.add(optimizer.report)
        return total

    def advance(self, measure_error: bool = False, save_gradients: Path | None = None) -> None:
        """Makes one move.

        Args:
            measure_error: find the error of this rank's compression.
            save_gradients: where this rank saves its own gradients, by name.

        Raises:
            NonFiniteGradientError: on all ranks, if a gradient of any holds Inf or NaN.
        """
        task, timer = self.task, self.task.timer
        timer.start()
        turn = task.turn(self.move % self.config.moves_per_update)
        optimizer, moving = self.optimizers[turn], task.turns[turn]
        for each in self.optimizers:
            each.zero_grad()
        optimizer.measure_error = measure_error
        updates_levels = self.gossip is None and self._updates_levels(turn)
        if self.gossip is None:
            optimizer.update_levels_next, optimizer.overlap = updates_levels, not save_gradients
        timer.credit(OPTIMIZER)
        task.fill_gradients(self.move, moving)
        if save_gradients:
            write_atomically(save_gradients, lambda file: torch.save(self._gradients(), file))
        optimizer.synchronize()
        timer.credit(WAITING)
        if updates_levels:
            self.level_updates = optimizer.level_updates
        with optimizer.skip_synchronize():
            self._move(optimizer, moving)
        self.move += 1
        timer.credit(OPTIMIZER)

    def _move(self, optimizer: Any, moving: Sequence[str]) -> None:
        if self.config.method.moves == 2 and self.move % 2 == 0:
            optimizer.extrapolation()
        else:
            self.task.before_step(moving)
            optimizer.step()
            self.task.after_step(moving)
            for scheduler in self.schedulers:
                scheduler.step()
        self.task.after_move()

    @property
    def integers(self) -> list[IntegerCompressor]:
        """The optimizers' compressors that send integers."""
        parts = (optimizer.compression.inner for optimizer in self.optimizers)
        found = (part.integers for part in parts if isinstance(part, SummedCompressor))
        return [compressor for compressor in found if compressor is not None]

    def integer_facts(self) -> dict[str, float]:
        """Returns facts about the integers that this rank has sent since the last call; empty if it sends none."""
        if not self.integers:
            return {}
        counts = IntegerCounts()
        for compressor in self.integers:
            counts.add(compressor.counts)
            compressor.counts = IntegerCounts()
        shares = counts.clipped / max(counts.coordinates, 1)
        scale = max(self.integers[0].scales or (0.0,))
        return dict(zip(INTEGER_FACTS, (scale, counts.largest, counts.largest_sum, shares), strict=True))

    def replica_hash(self) -> str:
        """Returns the SHA-256 of the parameters of all players; with gossip, of those of all ranks. Collective.

        Raises:
            TrainingError: on all ranks, if replicas differ; with gossip, if the two ends of a link do.
        """
        digest = hashlib.sha256()
        for model in self.task.players.values():
            for parameter in model.parameters():
                digest.update(parameter.detach().cpu().contiguous().numpy().tobytes())
        hashes = self.transport.all_gather_object(digest.hexdigest(), "replica-hash")
        if self.gossip is not None:
            for optimizer in self.optimizers:
                optimizer.check_links()
            return hashlib.sha256("".join(hashes).encode()).hexdigest()
        if len(set(hashes)) > 1:
            listing = ", ".join(f"rank {rank} {text[:12]}" for rank, text in enumerate(hashes))
            raise TrainingError(f"replicas differ after move {self.move}: {listing}")
        return str(hashes[0])

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Lets parameters be the mean of all ranks' inside the context, which they are anyway without gossip."""
        with ExitStack() as stack:
            if self.gossip is not None:
                for optimizer in self.optimizers:
                    stack.enter_context(optimizer.averaged())
            yield

    def end(self) -> None:
        """Ends gossip with an exact average, if it is to. Collective."""
        if self.gossip is not None and self.gossip.averages_at_end:
            for optimizer in self.optimizers:
                optimizer.average()

    def state_dict(self) -> dict[str, Any]:
        """Returns the state of all ranks, the same on each. Collective."""
        states = [optimizer.state_dict() for optimizer in self.optimizers]
        mine = {
            "optimizers": [state.pop("local") for state in states],
            "reports": [asdict(optimizer.report) for optimizer in self.optimizers],
            "seconds": self.task.timer.seconds(),
            **self.task.local_state(),
        }
        with self.averaged():
            common = copy.deepcopy(self.task.state_dict()) if self.gossip else self.task.state_dict()
        return {
            "move": self.move,
            **common,
            "optimizers": states,
            "schedulers": [scheduler.state_dict() for scheduler in self.schedulers],
            "ranks": self.transport.all_gather_object(mine, "rank-state"),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from ``state_dict`` of as many ranks."""
        mine = state["ranks"][self.transport.rank]
        self.move = state["move"]
        self.task.load_state_dict(state, mine)  # with gossip, the mean: optimizers have this rank's own parameters
        stored = zip(state["optimizers"], mine["optimizers"], mine["reports"], strict=True)
        for optimizer, (common, local, report) in zip(self.optimizers, stored, strict=True):
            optimizer.load_state_dict({**common, "local": local})
            optimizer.report = Report(**report)
        for scheduler, own in zip(self.schedulers, state.get("schedulers", ()), strict=True):
            scheduler.load_state_dict(own)
        self.task.timer.load(mine["seconds"])

    def _updates_levels(self, turn: int) -> bool:
        """Tells whether levels are due and this is the optimizer's first move in the update."""
        update, move = divmod(self.move, self.config.moves_per_update)
        turns = map(self.task.turn, range(self.config.moves_per_update))
        return move == list(turns).index(turn) and self._level_schedule.due(update)

    def layer_kinds(self) -> dict[str, str]:
        """Returns the kind of layer of every tensor, by the name that saved gradients have."""
        return {
            f"{player}.{name}": f"{self._player(player)}.{kind}".lstrip(".")
            for player, model in self.task.players.items()
            for name, kind in layer_kinds(model).items()
        }

    def _gradients(self) -> dict[str, Tensor]:
        return {
            f"{player}.{name}": parameter.grad.cpu().clone()
            for player, model in self.task.players.items()
            for name, parameter in model.named_parameters()
            if parameter.grad is not None
        }

    def _player(self, player: str) -> str:
        """Returns the name that optimizers know a player by; empty if it is alone."""
        return str(self.task.parameter_groups(player)[0].get("player", ""))

    def _make_optimizer(self, turn: int) -> Any:
        """Makes the distributed optimizer of the players that move together."""
        players = self.task.turns[turn]
        groups = [group for player in players for group in self.task.parameter_groups(player)]
        alone = self.config.method.make(groups, **self.config.optimizer_settings)
        names = [named for player in players for named in self.task.players[player].named_parameters()]
        models = {self._player(player): model for player, model in self.task.players.items()}
        compressor = self.config.make_compressor(turn, models)
        if self.gossip is not None:
            return self.gossip.optimizer(alone, names, compressor)
        optimizer = DistributedOptimizer(
            alone,
            names,
            compressor,
            backward_passes_per_step=self.task.backward_passes,
            exchange=self.config.exchange,
            transport=self.transport,
            feedback=self.config.feedback,
            shift_rate=self.config.shift_rate,
            **self.config.local_rules,
        )
        optimizer.raise_on_divergence = True
        return optimizer
