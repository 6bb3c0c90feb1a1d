"""One run from its configuration to its summary."""

import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from hvd_qgenx.exchange import Report
from hvd_qgenx.gan.config import GanConfig
from hvd_qgenx.gan.schedule import milestones
from hvd_qgenx.gan.trainer import Trainer
from hvd_qgenx.runs import MetricsLog, RunFolder, checkpoint, figures
from hvd_qgenx.runs.folder import write_json

KIND = "hvd-qgenx gan"
COLUMNS = (
    "loss/generator",
    "loss/discriminator",
    "loss/penalty",
    "traffic/megabytes_per_update",
    "traffic/megabytes",
    "traffic/relative_error",
    "seconds/compute",
    "seconds/encode",
    "seconds/wire",
    "seconds/decode",
    "seconds/exposed",
)


class Run:
    """Drives a trainer to its last update; rank 0 writes the run's folder."""

    def __init__(self, trainer: Trainer, folder: RunFolder) -> None:
        self.trainer, self.folder = trainer, folder
        self.config: GanConfig = trainer.config
        self.writes = trainer.transport.rank == 0
        self._log: MetricsLog | None = None
        self._level_log: MetricsLog | None = None
        self._gradients_at = milestones(self.config.gradients_at, "gradients_at")
        self._logged = Report()
        self._logged_compute = 0.0
        self._logged_updates = 0.0

    def train(self) -> dict[str, Any]:
        """Trains to the last update and returns the summary (the same on all ranks but for times)."""
        trainer, config = self.trainer, self.config
        self._remember()
        if self.writes:
            self._open_logs()
        last_move = config.updates * config.moves_per_update
        checkpoint_moves = int(config.checkpoint_every * config.moves_per_update)
        bar = self._progress_bar()
        try:
            while trainer.move < last_move:
                done = (trainer.move + 1) / config.moves_per_update
                logs = done % config.log_every == 0 or done == config.updates
                lesson = trainer.lesson
                trainer.advance(measure_error=logs, save_gradients=self._gradient_file())
                if trainer.lesson is not lesson:
                    self._log_lesson()
                if done == int(done):
                    bar.update()
                if logs:
                    self._log_metrics(bar)
                if done % config.sample_every == 0 or done == config.updates:
                    self._draw_samples()
                if trainer.move % checkpoint_moves == 0 or trainer.move == last_move:
                    self.save_checkpoint()
        finally:
            bar.close()
            for log in (self._log, self._level_log):
                if log:
                    log.close()
        return self._summarize()

    def save_checkpoint(self) -> None:
        """Compares the replicas, then writes the state of all ranks."""
        self.trainer.replica_hash()
        state = self.trainer.state_dict()
        if self.writes:
            checkpoint.save(self.folder.checkpoint, KIND, state)

    def _open_logs(self) -> None:
        start = self.trainer.updates
        self._log = MetricsLog(self.folder.metrics, self.folder.events, COLUMNS, start)
        compressor = self.config.make_compressor().inner
        if compressor.learner is not None:
            levels = tuple(f"level_{index}" for index in range(len(compressor.learner.levels)))
            columns = ("version", "old_variance", "new_variance", *levels)
            self._level_log = MetricsLog(self.folder.levels, self.folder.events / "levels", columns, math.ceil(start))

    def _log_lesson(self) -> None:
        lesson = self.trainer.lesson
        if self._level_log and lesson:
            version, levels, old, new = lesson
            values = {f"level_{index}": level for index, level in enumerate(levels)}
            update = math.ceil(self.trainer.updates)
            self._level_log.write(update, {"version": version, "old_variance": old, "new_variance": new, **values})

    def _gradient_file(self) -> Path | None:
        """Where this rank saves the gradients of the coming move, if it does."""
        update, move = divmod(self.trainer.move, self.config.moves_per_update)
        if not self.writes or move or update + 1 not in self._gradients_at:
            return None
        self.folder.gradients.mkdir(exist_ok=True)
        return self.folder.gradients / f"{update + 1:06d}.pt"

    def _progress_bar(self) -> Any:
        terminal = sys.stderr.isatty()
        return tqdm(
            total=self.config.updates,
            initial=int(self.trainer.updates),
            unit="update",
            disable=not self.writes,
            mininterval=0.1 if terminal else 5.0,
            ncols=None if terminal else 110,
            file=sys.stderr,
        )

    def _log_metrics(self, bar: Any) -> None:
        loss = self.trainer.mean_losses()
        recent = self.trainer.report.since(self._logged)
        updates = self.trainer.updates - self._logged_updates
        megabytes = self.trainer.report.bytes_sent / 1e6
        values = {
            **{f"loss/{name}": value for name, value in loss.items()},
            "traffic/megabytes_per_update": recent.bytes_sent / updates / 1e6,
            "traffic/megabytes": megabytes,
            "traffic/relative_error": recent.relative_error,
            "seconds/compute": (self.trainer.seconds["compute"] - self._logged_compute) / updates,
            "seconds/encode": recent.encode_seconds / updates,
            "seconds/wire": recent.wire_seconds / updates,
            "seconds/decode": recent.decode_seconds / updates,
            "seconds/exposed": recent.exposed_seconds / updates,
        }
        self._remember()
        bar.set_postfix_str(
            f"G {loss['generator']:+.3f}, D {loss['discriminator']:+.3f}, {megabytes:.1f} MB sent", refresh=False
        )
        if self._log:
            self._log.write(int(self.trainer.updates), values)

    def _remember(self) -> None:
        self._logged = replace(self.trainer.report)
        self._logged_compute = self.trainer.seconds["compute"]
        self._logged_updates = self.trainer.updates

    def _draw_samples(self) -> None:
        if self.writes:
            path = self.folder.samples / f"{int(self.trainer.updates):06d}.png"
            figures.save_grid(self.trainer.sample(64), path, columns=8)

    def _summarize(self) -> dict[str, Any]:
        trainer, report = self.trainer, self.trainer.report
        phases = ("encode", "wire", "decode", "exposed")
        seconds = {**trainer.seconds, **{phase: getattr(report, f"{phase}_seconds") for phase in phases}}
        seconds["other"] = seconds["total"] - seconds["compute"] - seconds["exposed"]
        summary = {
            "updates": int(trainer.updates),
            "ranks": trainer.transport.size,
            "losses": trainer.mean_losses(),
            "bytes_per_update": report.bytes_sent / trainer.updates,
            "bytes_sent": report.bytes_sent,
            "relative_error": report.relative_error,
            "seconds": {name: round(value, 6) for name, value in seconds.items()},
            "replica_hash": trainer.replica_hash(),
        }
        if self.writes:
            write_json(self.folder.summary, summary)
        return summary
