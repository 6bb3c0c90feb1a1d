"""Scores the generators of saved runs."""

import functools
import logging
from collections.abc import Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any

from hvd_qgenx.scores import Scorer, samples_note
from hvd_qgenx.tasks.gan.saved import SavedRun
from hvd_qgenx.tasks.gan.scoring import sampled, score
from hvd_qgenx.tasks.gan.settings import GanConfig
from hvd_qgenx.tasks.images import load_images
from hvd_qgenx.tasks.scoring import make_scorer
from hvd_qgenx.training.asked import changed
from hvd_qgenx.training.config import WEIGHTS
from hvd_qgenx.training.task import choose_device
from hvd_qgenx.transport import Transport
from hvd_qgenx.transport.agreement import from_rank_0, on_all_ranks

SHARED = attrgetter(
    *(
        "dataset",
        "data_dir",
        "image_size",
        "skip_damaged",
        "augmentation",
        "features",
        "inception_weights",
        "score_samples",
    )
)
"""The settings that a scorer depends on."""

Row = dict[str, Any]
log = logging.getLogger(__name__)


def evaluate_runs(
    transport: Transport, runs: Sequence[Path], asked: Mapping[str, Any], download: bool
) -> dict[Path, list[Row]]:
    """Scores the generators of runs; see ``hvd_qgenx.tasks.evaluation``. Collective."""
    found = {run: from_rank_0(transport, "run", functools.partial(SavedRun.read, run)) for run in runs}
    wanted = on_all_ranks(transport, "settings", lambda: {run: _wanted(found[run].config, asked) for run in runs})
    scorers = _scorers(wanted, transport, download)
    return {run: _score(found[run], wanted[run], scorers[run]) for run in runs}


def _wanted(config: GanConfig, asked: Mapping[str, Any]) -> GanConfig:
    """Returns the run's configuration with the requested changes; a file of Inception weights implies their use."""
    implied = {"features": "inception"} if asked.get("inception_weights") else {}
    return changed(config, {"score_weights": ",".join(WEIGHTS), **implied, **asked})


def _scorers(wanted: dict[Path, GanConfig], transport: Transport, download: bool) -> dict[Path, Scorer]:
    """Returns a prepared scorer for every run; runs with the same settings share one."""
    made: dict[tuple[Any, ...], Scorer] = {}
    scorers = {}
    for run, config in wanted.items():
        key = SHARED(config)
        if key not in made:
            made[key] = _scorer(config, transport, download)
        scorers[run] = made[key]
    for scorer in made.values():
        scorer.prepare()
        note = samples_note(scorer)
        if note and transport.rank == 0:
            log.warning(note)
    return scorers


def _scorer(config: GanConfig, transport: Transport, download: bool) -> Scorer:
    images = load_images(config, transport, download)
    device = choose_device(config.device, transport)
    return make_scorer(config, images, transport, device, download, **sampled(config))


def _score(saved: SavedRun, config: GanConfig, scorer: Scorer) -> list[Row]:
    generators = {weights: saved.generator(weights, scorer.extractor.device) for weights in config.scored_weights}
    found = score(scorer, generators, saved.inputs, config.seed)
    return [
        {
            "update": saved.updates,
            "samples": scorer.samples,
            "score": name,
            "weights": weights,
            "value": found[f"{name}/{weights}"],
            "bias": scorer.bias.get(name),
        }
        for name in scorer.names
        for weights in generators
    ]
