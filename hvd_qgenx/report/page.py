"""Writes the page, one HTML file that contains all its pictures."""

import base64
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from hvd_qgenx.captions import wrapped
from hvd_qgenx.report import figures, place, settings, text
from hvd_qgenx.report.comparison import Comparison, higher_is_better
from hvd_qgenx.report.recorded import Recorded
from hvd_qgenx.report.replication import MOST, Replication
from hvd_qgenx.report.results import rows
from hvd_qgenx.runs.folder import write_atomically

TEMPLATE = "page.html.j2"


@dataclass(frozen=True)
class Picture:
    """One picture of the page, its bytes as a data URI."""

    title: str
    caption: str
    source: str


def write(comparison: Comparison, out: Path, title: str, replication: Replication | None = None) -> Path:
    """Writes the page, its pictures and the list of its runs into ``out``, which exists; returns the page.

    It refers to nothing outside itself and needs no script.
    """
    found = rows(comparison)
    html = render(
        TEMPLATE,
        title=title,
        comparison=comparison,
        better="higher" if comparison.score and higher_is_better(comparison.score) else "lower",
        tables=[table for table in (text.main(comparison, found), text.more(comparison, found)) if table],
        scores=text.scores(comparison, found) if len(comparison.columns) > 1 else [],
        replication=replication,
        most=MOST,
        replicated=text.replication(replication) if replication else [],
        colors={mode.name: mode.color for mode in comparison.modes},
        pictures=_pictures(comparison, out),
        samples=_samples(comparison, out),
        settings=settings.lines([[record.config for record in mode.records] for mode in comparison.modes]),
        command=lambda record: shlex.join(map(str, record.config.get("command") or ())),
    )
    place.record(out, [record.path for record in comparison.records])
    return save(html, out)


def render(template: str, **values: Any) -> str:
    """Fills in a template of this folder."""
    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return templates.get_template(template).render(**values)


def save(html: str, out: Path) -> Path:
    """Writes ``index.html`` into ``out``, which exists; returns it."""
    page = out / place.PAGE
    write_atomically(page, lambda file: file.write(html.encode(errors="backslashreplace")))
    return page


def _pictures(comparison: Comparison, out: Path) -> list[Picture]:
    """Draws every figure that the runs have data for."""
    drawn = []

    def add(title: str, caption: str, name: str, draw: Callable[[Comparison, Path], None]) -> None:
        draw(comparison, out / name)
        drawn.append(Picture(title, caption, data_uri(out / name)))

    if comparison.score:
        add(
            f"Score: {comparison.score}",
            "Means over seeds; bands reach from the smallest to the largest. Seconds of training, without scoring; "
            "MB sent by one rank.",
            "score.png",
            figures.draw_scores,
        )
    if len(comparison.columns) > 1:
        add("All scores and weights", "Against updates.", "weights.png", figures.draw_weights)
    if any(group.per_update("seconds/update") for group in comparison.groups):
        add(
            "Where the time goes",
            "Thick bars: the phases of training in an update; striped: waiting for exchanges. Thin bars: the exchange "
            "thread, which works at the same time. Numbers are seconds of whole updates, unmeasured parts included.",
            "breakdown.png",
            figures.draw_breakdown,
        )
    if comparison.losses:
        add(
            "Losses",
            f"Means over seeds with bands, against updates{' and MB sent by one rank' if comparison.sends else ''}.",
            "losses.png",
            figures.draw_losses,
        )
    if comparison.integers:
        add(
            "Integers",
            "Scale of the gradients, largest integer of a rank and largest sum since the row before.",
            "integers.png",
            figures.draw_integers,
        )
    return drawn


def _samples(comparison: Comparison, out: Path) -> list[Picture]:
    """Returns the samples of one run of every mode, of a common seed and update if there is one.

    Also draws them side by side.
    """
    shown = {mode.name: run for mode in comparison.modes if (run := _with_samples(mode.records, _seed(comparison)))}
    if not shown:
        return []
    common = set.intersection(*(set(run.samples) for run in shown.values()))
    chosen = []
    for name, run in shown.items():
        update = max(common or run.samples)
        chosen.append((name, f"seed {run.seed}, update {update:,}", run.samples[update]))
    figures.draw_samples([(f"{wrapped(name)}\n{where}", path) for name, where, path in chosen], out / "samples.png")
    return [Picture(name, where, data_uri(path)) for name, where, path in chosen]


def _seed(comparison: Comparison) -> str | None:
    """Returns the first seed that every mode has samples of."""
    seeds = [{str(record.seed) for record in mode.records if record.samples} for mode in comparison.modes]
    return min(set.intersection(*seeds), default=None)


def _with_samples(records: list[Recorded], seed: str | None) -> Recorded | None:
    """Returns a run with samples, preferably of this seed, then preferably finished."""
    own = [record for record in records if record.samples]
    return min(own, key=lambda record: (str(record.seed) != seed, not record.finished), default=None)


def data_uri(path: Path) -> str:
    """Returns a PNG as the source of an image in a page."""
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"
