"""One run from its first update to its summary."""

import math
import shlex
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from compressors.levels import sets
from compressors.levels.widths import WIDEST
from hvd_qgenx import plugins
from hvd_qgenx.errors import DivergenceError
from hvd_qgenx.exchange import Report
from hvd_qgenx.runs import Divergence, MetricsLog, RunFolder, checkpoint
from hvd_qgenx.runs.folder import LAYERS, write_json
from hvd_qgenx.signals import Stopped
from hvd_qgenx.training import stopping
from hvd_qgenx.training.fitting import SETTINGS, refused, require_state
from hvd_qgenx.training.schedule import milestones
from hvd_qgenx.training.trainer import CLIPPED, INTEGER_FACTS, Trainer
from hvd_qgenx.transport.launcher import starting

EXCHANGE = ("encode", "wire", "decode")
"""The parts of an exchange's time, while training does something else or waits."""
SPENT = ("traffic/megabytes", "seconds/elapsed", "seconds/scoring")
"""Columns of scores.csv beside the scores."""
DISTANCE = "consensus_distance"
"""Column of scores.csv with gossip: the root mean square distance of ranks' parameters to their mean, over its norm."""


class Run:
    """Drives a trainer to its last update; rank 0 writes the run's folder."""

    def __init__(self, trainer: Trainer, folder: RunFolder) -> None:
        self.trainer, self.task, self.config, self.folder = trainer, trainer.task, trainer.config, folder
        self.writes = trainer.transport.rank == 0
        self.record: dict[str, Any] = {}
        """The contents of config.json."""
        self.after_update: Callable[[Run], None] = lambda run: None
        """Called after every update, when all that is due then has been written."""
        self.scores: dict[str, float] = {}
        """The last ones."""
        self.clipped = 0.0
        """The largest share of coordinates, in a row of metrics, that did not fit the width of their integers."""
        self._log: MetricsLog | None = None
        self._level_log: MetricsLog | None = None
        self._score_log: MetricsLog | None = None
        self._gradients_at = milestones(self.config.gradients_at, "gradients_at")
        self._logged = Report()
        self._logged_seconds: Mapping[str, float] = {}
        self._logged_updates = 0.0

    def train(self) -> dict[str, Any]:
        """Trains to the last update and returns the summary (the same on all ranks but for times).

        Raises:
            Stopped: on all ranks after the same update, if a signal asked any to end; a checkpoint is there then.
            DivergenceError: training has diverged; a record is in the run's folder.
        """
        try:
            return self._train()
        finally:
            self.release()

    def release(self) -> None:
        """Lets other processes write the run's folder."""
        if self.writes:
            self.folder.release()

    def _train(self) -> dict[str, Any]:
        self._remember()
        if self.writes:
            self.folder.divergence.unlink(missing_ok=True)
            self._open_logs()
        bar = self._progress_bar()
        try:
            with stopping.asked() as asked:
                self._go_on(stopping.Agreement(self.trainer.transport, asked), bar)
        except DivergenceError as error:
            self._record_divergence(error)
            raise
        finally:
            bar.close()
            self.task.close()
            for log in self._logs():
                log.close()
        return self._summarize()

    def _go_on(self, stop: stopping.Agreement, bar: Any) -> None:
        trainer, task, config = self.trainer, self.task, self.config
        last_move = task.updates * config.moves_per_update
        checkpoint_moves = int(config.checkpoint_every * config.moves_per_update)
        while trainer.move < last_move:
            done = (trainer.move + 1) / config.moves_per_update
            logs = done % config.log_every == 0 or done == task.updates
            level_updates = trainer.level_updates
            trainer.advance(measure_error=logs, save_gradients=self._gradient_file())
            if trainer.level_updates is not level_updates:
                self._log_level_updates()
            if done == int(done):
                bar.update()
            if logs:
                self._log_metrics(bar)
            if task.draws(done):
                self._draw()
            if task.evaluates(done):
                self._score()  # before the checkpoint: a run stopped here scores again
            if trainer.move == last_move:
                trainer.end()
            signal = stop.reached() if done == int(done) < task.updates else 0
            if signal or trainer.move % checkpoint_moves == 0 or trainer.move == last_move:
                self.save_checkpoint()
            if signal:
                advice = f" after update {int(done)}; go on with: {self._again()}"
                raise Stopped(signal, advice, together=True)
            if done == int(done):
                self.after_update(self)
        stop.end()

    def _again(self) -> str:
        """Returns the command that goes on with this run, with its ranks where they were."""
        ranks = self.trainer.transport
        threads = ["--local-ranks", str(ranks.size)] if ranks.shares_memory and ranks.size > 1 else []
        command = ["hvd-qgenx", self.config.task, "--resume", str(self.folder.path), *threads, *plugins.words()]
        return shlex.join([*starting(ranks.named_hosts()), *command])

    def _record_divergence(self, error: DivergenceError) -> None:
        """Leaves a record in the folder, from every rank that sees it: one alone may have found the divergence."""
        error.update = int(self.trainer.updates)
        if self.folder.config.exists():
            Divergence(error.update, str(error)).write(self.folder)

    def check(self, state: dict[str, Any], ranks: int) -> None:
        """Checks that a state is one that this run, with so many ranks, could have saved. Collective.

        Raises:
            ConfigurationError: on all ranks; it is damaged, or that of another run.
        """
        moved = [[p for group in each.param_groups for p in group["params"]] for each in self.trainer.optimizers]
        require_state(state, self.state_dict(), ranks, moved)

    def load(self, state: dict[str, Any]) -> None:
        """Goes on from ``state_dict``."""
        with refused(""):
            self.trainer.load_state_dict(state)
            self.scores = state["scores"]

    def state_dict(self) -> dict[str, Any]:
        """Compares the replicas, then returns the state of all ranks, the same on each."""
        self.trainer.replica_hash()
        return {**self.trainer.state_dict(), "scores": self.scores, SETTINGS: self.config.lasting()}

    def save_checkpoint(self) -> None:
        """Writes the state of all ranks, on rank 0. Collective."""
        state = self.state_dict()
        if self.writes:
            checkpoint.save(self.folder.checkpoint, self.task.kind, state)
        for log in self._logs():
            log.flush()

    def _logs(self) -> list[MetricsLog]:
        """Yields the logs, which rank 0 keeps."""
        return [log for log in (self._log, self._level_log, self._score_log) if log]

    def _open_logs(self) -> None:
        start, task = self.trainer.updates, self.task
        columns = (
            *(f"loss/{name}" for name in task.loss_names),
            *task.measures,
            *("traffic/megabytes_per_update", "traffic/megabytes", "traffic/relative_error"),
            *(INTEGER_FACTS if self.trainer.integers else ()),
            *("seconds/elapsed", "seconds/update"),
            *(f"seconds/{phase}" for phase in (*self.trainer.phases, *EXCHANGE)),
        )
        self._log = MetricsLog(self.folder.metrics, self.folder.events, columns, start)
        if task.score_columns:
            local = (*_spread([dict.fromkeys(task.local_scores, 0.0)]), DISTANCE) if self.trainer.gossip else ()
            columns = (*SPENT, *task.score_columns, *local)
            self._score_log = MetricsLog(self.folder.scores, self.folder.events / "scores", columns, start)
        compressor = self.config.make_compressor().inner
        if compressor.learner is not None:
            most = len(compressor.learner.levels) if self.config.layer_bits == "equal" else sets.count(WIDEST)
            levels = tuple(f"level_{index}" for index in range(most))
            columns = ("version", *self._widths(0), "old_variance", "new_variance", *levels)
            events, label = self.folder.events / "levels", "group" if self.config.groups_levels else None
            self._level_log = MetricsLog(self.folder.levels, events, columns, math.ceil(start), label)

    def _log_level_updates(self) -> None:
        if self._level_log is None:
            return
        for group, found in self.trainer.level_updates.items():
            version, levels, old, new = found
            values = {f"level_{index}": level for index, level in enumerate(levels)}
            row = {"version": version, **self._widths(found.bits), "old_variance": old, "new_variance": new, **values}
            self._level_log.write(math.ceil(self.trainer.updates), row, group)

    def _widths(self, bits: int) -> dict[str, int]:
        """Returns the column of levels.csv that has the bits of a group's coordinates, if there are groups."""
        return {"bits": bits} if self.config.groups_levels else {}

    def _gradient_file(self) -> Path | None:
        """Returns the file for this rank's gradients of the next move; None if they are not saved."""
        update, move = divmod(self.trainer.move, self.config.moves_per_update)
        if move or update + 1 not in self._gradients_at:
            return None
        self.folder.gradients.mkdir(parents=True, exist_ok=True)
        rank = self.trainer.transport.rank
        if self.writes:
            write_json(self.folder.gradients / LAYERS, self.trainer.layer_kinds())
        return self.folder.gradients / f"{update + 1:06d}{f'-rank{rank}' if rank else ''}.pt"

    def _progress_bar(self) -> Any:
        terminal = sys.stderr.isatty()
        return tqdm(
            total=self.task.updates,
            initial=int(self.trainer.updates),
            unit="update",
            disable=not self.writes,
            mininterval=0.1 if terminal else 5.0,
            ncols=None if terminal else 110,
            file=sys.stderr,
        )

    def _log_metrics(self, bar: Any) -> None:
        losses = self.task.mean_losses()
        recent = self.trainer.report.since(self._logged)
        updates = self.trainer.updates - self._logged_updates
        megabytes = self.trainer.report.bytes_sent / 1e6
        integers = self.trainer.integer_facts()
        self.clipped = max(self.clipped, integers.get(CLIPPED, 0.0))
        seconds = self._seconds()
        spent = {name: (seconds[name] - self._logged_seconds.get(name, 0.0)) / updates for name in seconds}
        values = {
            **{f"loss/{name}": value for name, value in losses.items()},
            **self.task.measure(int(self.trainer.updates)),
            "traffic/megabytes_per_update": recent.bytes_sent / updates / 1e6,
            "traffic/megabytes": megabytes,
            "traffic/relative_error": recent.relative_error,
            **integers,
            "seconds/elapsed": seconds["total"],
            "seconds/update": spent.pop("total"),
            **{f"seconds/{name}": value for name, value in spent.items()},
        }
        self._remember()
        bar.set_postfix_str(f"{self.task.progress(losses)}, {megabytes:.1f} MB sent", refresh=False)
        if self._log:
            self._log.write(int(self.trainer.updates), values)
        self.task.check_losses(losses)

    def _remember(self) -> None:
        self._logged = replace(self.trainer.report)
        self._logged_seconds = self._seconds()
        self._logged_updates = self.trainer.updates

    def _seconds(self) -> dict[str, float]:
        """Seconds of this rank so far: in total, by phase, and of the exchanges meanwhile."""
        found, report = self.task.timer.seconds(), self.trainer.report
        phases = {phase: found.get(phase, 0.0) for phase in self.trainer.phases}
        return {
            "total": sum(phases.values()),
            **phases,
            **{name: getattr(report, f"{name}_seconds") for name in EXCHANGE},
        }

    def _draw(self) -> None:
        if self.writes:
            self.task.draw(self.folder.samples / f"{int(self.trainer.updates):06d}.png")

    def _score(self) -> None:
        start = time.perf_counter()
        self.scores = self._scores()
        spent = (self.trainer.report.bytes_sent / 1e6, self._seconds()["total"], time.perf_counter() - start)
        if self._score_log:
            self._score_log.write(int(self.trainer.updates), {**dict(zip(SPENT, spent, strict=True)), **self.scores})

    def _scores(self) -> dict[str, float]:
        """Returns the scores; with gossip, of the mean of all ranks' parameters, and facts about the ranks' own."""
        if self.trainer.gossip is None:
            return self.task.evaluate(self.trainer.updates)
        everyone = self.trainer.transport.all_gather_object(self.task.evaluate_alone(), "local-scores")
        distance = max(optimizer.consensus_distance() for optimizer in self.trainer.optimizers)
        with self.trainer.averaged():
            scores = self.task.evaluate(self.trainer.updates)
        return {**scores, **_spread(everyone), DISTANCE: distance}

    def _summarize(self) -> dict[str, Any]:
        trainer, report = self.trainer, self.trainer.report
        seconds = self._seconds()
        summary = {
            "updates": int(trainer.updates),
            "ranks": trainer.transport.size,
            "losses": self.task.mean_losses(),
            "bytes_per_update": report.bytes_sent / trainer.updates,
            "bytes_sent": report.bytes_sent,
            "relative_error": report.relative_error,
            "seconds": {name: round(value, 6) for name, value in seconds.items()},
            "scores": self.scores,
            **self.task.summary(),
            **self._links(),
            "replica_hash": trainer.replica_hash(),
        }
        if self.writes:
            write_json(self.folder.summary, summary)
        return summary

    def _links(self) -> dict[str, Any]:
        """Returns the bytes that went over every link, if there are any."""
        if self.trainer.gossip is None:
            return {}
        mine = [optimizer.bytes_to for optimizer in self.trainer.optimizers]
        everyone = self.trainer.transport.all_gather_object(mine, "links")
        links: Counter[str] = Counter()
        for rank, counts in enumerate(everyone):
            for sent in counts:
                links.update({f"{rank} to {neighbour}": sent[neighbour] for neighbour in sorted(sent)})
        gossip = self.trainer.optimizers[0].gossip
        return {"consensus_step_size": gossip.consensus_step_size, "bytes_by_link": links}


def _spread(scores: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Returns mean, least and greatest of every score over the ranks, as ``NAME/local_mean`` and the like."""
    found: dict[str, float] = {}
    for name in scores[0]:
        values = [each[name] for each in scores]
        found |= {
            f"{name}/local_mean": math.fsum(values) / len(values),
            f"{name}/local_least": min(values),
            f"{name}/local_greatest": max(values),
        }
    return found
