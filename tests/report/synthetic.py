"""Folders of runs that were never trained, with numbers chosen by the test."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

CONFIG = {
    "dataset": "digits",
    "data_dir": "data",
    "batch_size": 48,
    "updates": 40,
    "loss": "wgan-gp",
    "filters": 8,
    "optimizer": "extra-adam",
    "generator_lr": 5e-5,
    "coding": "none",
    "exchange": "auto",
    "log_every": 20,
    "ranks": 3,
    "hosts": 1,
    "preset": None,
    "versions": {"torch": "2.13.0"},
    "command": ["hvd-qgenx", "gan"],
}
BITS = {"minmax": 4, "alq": 3}
PHASES = {
    "data": 0.05,
    "generator_forward": 0.05,
    "discriminator_forward": 0.1,
    "penalty": 0.2,
    "generator_backward": 0.15,
    "discriminator_backward": 0.25,
    "waiting": 0.1,
    "optimizer": 0.05,
}
"""Parts of an update, which make up 0.95 of it."""
THREAD = {"encode": 0.04, "wire": 0.3, "decode": 0.06}


def write_run(
    path: Path,
    compressor: str = "none",
    seed: int = 0,
    scores: Mapping[str, Sequence[float | None]] | None = None,
    every: int = 20,
    seconds: float = 0.5,
    megabytes: float = 2.0,
    finished: bool = True,
    replica_hash: str | None = None,
    **settings: Any,
) -> Path:
    """A run of 40 updates, logged and scored every ``every``.

    Args:
        scores: by ``SCORE/WEIGHTS``, one for every scored update; None for no file.
        seconds: of an update.
        megabytes: sent in an update.
        settings: other than those of ``CONFIG``.
    """
    path.mkdir(parents=True)
    parameters = {"bits": BITS[compressor]} if compressor in BITS else {}
    config = {**CONFIG, "compressor": compressor, "compressor_parameters": parameters, "seed": seed, **settings}
    _write_json(path / "config.json", config)
    marks = range(every, config["updates"] + 1, every)
    split = {f"seconds/{name}": part * seconds for name, part in {**PHASES, **THREAD}.items()}
    _write_csv(
        path / "metrics.csv",
        [
            {
                "update": update,
                "loss/generator": -1.0,
                "loss/discriminator": -2.0 - seed,
                "loss/penalty": 0.25,
                "traffic/megabytes_per_update": megabytes,
                "traffic/megabytes": megabytes * update,
                "traffic/relative_error": 0.0 if compressor == "none" else 0.04,
                "seconds/elapsed": seconds * update,
                "seconds/update": seconds,
                **split,
                **(
                    {"integers/scale": 64.0, "integers/largest": 7, "integers/clipped": 0}
                    if compressor == "intsgd"
                    else {}
                ),
            }
            for update in marks
        ],
    )
    if scores is not None:
        _write_csv(
            path / "scores.csv",
            [
                {
                    "update": update,
                    "traffic/megabytes": megabytes * update,
                    "seconds/elapsed": seconds * update,
                    "seconds/scoring": 1.0,
                    **{name: values[index] for name, values in scores.items()},
                }
                for index, update in enumerate(marks)
            ],
        )
    if finished:
        _write_json(
            path / "summary.json", {"updates": config["updates"], "replica_hash": replica_hash or f"{compressor}{seed}"}
        )
    (path / "samples").mkdir()
    for update in marks:
        Image.new("L", (24, 24), 40 * seed + update).save(path / "samples" / f"{update:06d}.png")
    return path


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value))


def _write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
