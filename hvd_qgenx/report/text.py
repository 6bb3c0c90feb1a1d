"""Formats the results, for the page and for a terminal."""

import math
from collections.abc import Collection, Sequence

from rich.table import Table as RichTable

from hvd_qgenx.captions import LINE, clip
from hvd_qgenx.report.comparison import Comparison
from hvd_qgenx.report.curves import Spread
from hvd_qgenx.report.published import DIVERGES, Value
from hvd_qgenx.report.replication import Line, Replication
from hvd_qgenx.report.results import Row
from hvd_qgenx.report.settings import NOTHING
from hvd_qgenx.tables import drawn

Cells = dict[str, str]
"""Text by heading."""


def number(value: float | None, digits: int = 4) -> str:
    """Formats a number with ``digits`` significant digits, without an exponent between 0.0001 and a million."""
    if value is None or not math.isfinite(value):
        return NOTHING
    if value == 0 or not 1e-4 <= abs(value) < 1e6:
        return f"{value:.{digits - 1}g}"
    return f"{value:,.{max(0, digits - 1 - math.floor(math.log10(abs(value))))}f}"


def spread(value: Spread | None) -> str:
    """Formats ``mean ± deviation``, the deviation with two digits and the mean with as many decimals."""
    if value is None or not value.deviation or value.deviation < 1e-9 * abs(value.mean):  # rounding
        return number(value.mean if value else None)
    decimals = max(0, 1 - math.floor(math.log10(value.deviation)))
    return f"{value.mean:,.{decimals}f} ± {value.deviation:,.{decimals}f}"


def diverged(updates: Collection[int]) -> str:
    """Says after which updates runs diverged, like ``diverged after update 12``."""
    return f"diverged after update {' and '.join(f'{update:,}' for update in sorted({*updates}))}"


def main(comparison: Comparison, rows: Sequence[Row]) -> list[Cells]:
    """Returns the main table."""
    table = [
        {
            **_who(row),
            comparison.score or "score": _final(row),
            "MB/update": spread(row.megabytes_per_update),
            "fewer bytes": _times(row.fewer_bytes, below=" more"),
            "s/update": spread(row.seconds_per_update),
            "faster": _times(row.faster, below=" slower"),
            "time to baseline": _to(comparison, row, "seconds", "s", row.less_time),
            "MB to baseline": _to(comparison, row, "megabytes", "MB", row.less_traffic)
            if comparison.sends
            else NOTHING,
        }
        for row in rows
    ]
    return _without_empty(table)


def more(comparison: Comparison, rows: Sequence[Row]) -> list[Cells]:
    """Returns the table of secondary results."""
    table = [
        {
            **_who(row),
            "updates": f"{row.updates:,}",
            "best score": number(row.best),
            "error": spread(row.relative_error),
            **{f"loss of {name.removeprefix('loss/')}": spread(row.losses.get(name)) for name in comparison.losses},
            "replicas agree": {None: NOTHING, True: "yes", False: "NO"}[row.replicas_agree],
        }
        for row in rows
    ]
    return _without_empty(table)


def scores(comparison: Comparison, rows: Sequence[Row]) -> list[Cells]:
    """Returns the table of all final scores."""
    return [{**_who(row), **{name: spread(row.finals.get(name)) for name in comparison.columns}} for row in rows]


def replication(found: Replication) -> list[Cells]:
    """Returns the table of measured and published values."""
    table = [
        {
            "mode": line.mode,
            "runs": str(line.runs),
            f"{found.published.scores[0]} here": _measured(line),
            "published": _published(line.published),
            "MB/update here": spread(line.megabytes),
            "MB/update published": number(line.published.megabytes),
        }
        for line in found.lines
    ]
    return _without_empty(table)


def terminal(table: Sequence[Cells], width: int = 160) -> str:
    """Draws a table for a terminal, one line for every group."""
    made = RichTable()
    for index, heading in enumerate(table[0]):
        made.add_column(heading, justify="right" if index else "left")
    for cells in table:
        made.add_row(*cells.values())
    return drawn(made, width)


def _final(row: Row) -> str:
    return diverged(row.diverged.values()) if row.diverged and row.final is None else spread(row.final)


def _measured(line: Line) -> str:
    if line.measured is None and line.diverged:
        return diverged(line.diverged)
    if line.measured is None:
        return "unfinished" if line.runs else "not run"
    rest = f", {len(line.diverged)} of {line.runs} diverged" if line.diverged else ""
    return spread(line.measured) + rest


def _published(value: Value) -> str:
    if value.score is None:
        return DIVERGES
    if not value.spread:
        return f"{value.score:g}"
    decimals = max(len(f"{each:g}".partition(".")[2]) for each in (value.score, value.spread))
    return f"{value.score:.{decimals}f} ± {value.spread:.{decimals}f}"


def _who(row: Row) -> Cells:
    place = {"at": clip(row.place, LINE)} if row.place else {}
    ends = {**dict.fromkeys(map(str, row.unfinished), " unfinished"), **dict.fromkeys(row.diverged, " diverged")}
    return {"group": row.group, **place, "seeds": ", ".join(f"{seed}{ends.get(str(seed), '')}" for seed in row.seeds)}


def _to(comparison: Comparison, row: Row, what: str, unit: str, less: float | None) -> str:
    baseline = comparison.baseline(row.place)
    if what == "megabytes" and not comparison.sends:
        return NOTHING
    if row.final is None or baseline is None or comparison.score not in baseline.score_names:
        return NOTHING
    if row.reached is None:
        return "not reached"
    value = getattr(row.reached, what)
    if value is None:
        return NOTHING
    ratio = f" ({_times(less, ' less', ' more')})" if less and row.group != baseline.name else ""
    return f"{number(value)} {unit}{ratio}"


def _times(ratio: float | None, above: str = "", below: str = "") -> str:
    """Returns a ratio with a word after it, ``above`` or ``below`` 1, where it is turned round."""
    if ratio is None:
        return NOTHING
    return f"{number(ratio, 3)}x{above}" if ratio >= 1 else f"{number(1 / ratio, 3)}x{below}"


def _without_empty(table: Sequence[Cells]) -> list[Cells]:
    kept = [heading for heading in table[0] if any(cells[heading] != NOTHING for cells in table)]
    return [{heading: cells[heading] for heading in kept} for cells in table]
