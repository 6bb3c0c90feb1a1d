"""Writes the page of results, docs/performance.md."""

import inspect
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hvd_qgenx.bench import figure, model, tables
from hvd_qgenx.bench.codec import ACTIONS
from hvd_qgenx.bench.files import Measured
from hvd_qgenx.bench.model import Check
from hvd_qgenx.bench.tables import Row, Table, group, label
from hvd_qgenx.bench.workloads import Workload, resnet18
from hvd_qgenx.exchange import cost
from hvd_qgenx.exchange.cost import FP32, CodecSpeed, Machine
from hvd_qgenx.exchange.registry import concrete
from hvd_qgenx.runs.folder import write_atomically

KEEP = "<!-- hvd-qgenx bench report writes what is above this line, and keeps what is below. -->\n"

HEAD = """# Performance

Medians, with the range over rounds in parentheses. Ratios to a copy and speed-ups are medians too: over the rounds,
of the ratio within each, so not the ratios of the medians beside them. Whatever is compared was timed in turn in the
same run, and verified first: payloads and decoded vectors against the plain-torch reference bit for bit, means over
ranks against float64. `hvd-qgenx bench report` made this page from the files of

{commands}

{machines}
"""

CODECS = """## Compressors

Speed in GB of float32 input or output a second, and relative to `numpy.copyto` of the same numbers (on a GPU: to a
device copy). `accumulate` decodes and adds to a sum.
"""

EXCHANGES = """## Exchanges

Time of the slowest rank, from gradients in place to means in place, by `synchronize()` of our optimizer and of stock
Horovod's, whose all-reduces use the ring. `/ floor`: relative to the time of one rank's bytes at the links' rate, TCP
headers left out. `x fp32`, `x fp16`: speed-up over Horovod's. encode, wire, decode: seconds of a rank's phases, on
average; wire includes waiting for other ranks.
"""

BYTES = """## Bytes and ranks

MB sent by one rank; in parentheses divided by 2 (K-1)/K, the factor of ring all-reduce and of the two-phase exchange.
"""

MODEL = """## Cost model

`hvd_qgenx.exchange.cost` predicts the seconds of an exchange:

```
{formulas}
```

The machine's constants below come from Horovod's own fp32 all-reduces of {large:,} numbers and more, and from exchanges
of up to {small:,} (marked *); E and D come from the speeds of compressors alone, divided among ranks if there are more
ranks than cores. All other rows are predictions.
"""


def write(found: Sequence[Measured], page: Path) -> None:
    """Writes the page, and its figures, named after it, into ``images`` beside it.

    What follows ``KEEP`` in an earlier page stays.
    """
    (page.parent / "images").mkdir(parents=True, exist_ok=True)
    kept = page.read_text().partition(KEEP)[2] if page.exists() else ""
    parts = [_head(found)]
    codecs = _distinct(row for measured in found if measured.kind == "codec" for row in measured.rows)
    exchanges = [row for measured in found if measured.kind == "exchange" for row in measured.rows]
    if codecs:
        parts.append(_codecs(codecs, page))
    if timed := [row for row in exchanges if row["fp32_ratio"] is not None]:
        parts.append(_exchanges(timed, page))
    if alone := [row for row in exchanges if row["fp32_ratio"] is None and row["ranks"] > 1]:
        parts.append(BYTES + "\n" + _bytes_by_ranks(alone).markdown())
    if checks := model.check(found):
        parts.append(_model(checks, codecs, page))
    text = "\n".join(parts) + "\n" + KEEP + kept
    write_atomically(page, lambda file: file.write(text.encode()))


def _picture(page: Path, name: str) -> Path:
    return page.parent / "images" / f"{page.stem}-{name}.png"


def _distinct(rows: Iterable[Row]) -> list[Row]:
    """Returns the rows without repeated measurements of a compressor in the same place; the first one counts."""
    keys = ("compressor", "setting", "device", "dtype", "threads", "size")
    return [same[0] for same in group(rows, lambda row: tuple(row[key] for key in keys)).values()]


def _head(found: Sequence[Measured]) -> str:
    commands = "".join(f"    {command}\n" for command in dict.fromkeys(measured.command for measured in found))
    machines = []
    for measured in found:
        if (said := _machine(measured.machine)) not in machines:
            machines.append(said)
    return HEAD.format(commands=commands.rstrip("\n"), machines="\n".join(machines)).rstrip("\n") + "\n"


def _machine(machine: dict[str, Any]) -> str:
    parts = [
        f"{machine['processor']} ({', '.join(machine['flags'])})",
        f"{machine['cores']} core{'s' * (machine['cores'] > 1)}",
        f"{machine['memory_gb']} GB",
        *machine["gpus"],
        *(f"{name} {version}" for name, version in machine["versions"].items()),
    ]
    return textwrap.fill("On " + ", ".join(parts) + ".", 118)


def _codecs(rows: Sequence[Row], page: Path) -> str:
    picture = _picture(page, "codec")
    figure.draw_codec(_over_sizes(rows), picture)
    text = CODECS
    for own in group(rows, lambda row: (row["device"], row["dtype"], row["threads"])).values():
        size = max(sizes := [row["size"] for row in own], key=lambda size: (sizes.count(size), size))
        text += _section(tables.codec_table([row for row in own if row["size"] == size]))
    if threads := _threads(rows):
        text += _section(threads)
    return text + f"\n![speed against size](images/{picture.name})\n"


def _over_sizes(rows: Sequence[Row]) -> list[Row]:
    """Returns the rows of compressors measured at several sizes in the same place; all rows if there are none."""
    lines = group(rows, lambda row: (label(row), row["device"], row["dtype"], row["threads"])).values()
    return [row for own in lines if len(own) > 1 for row in own] or list(rows)


def _threads(rows: Sequence[Row]) -> Table | None:
    """Returns a table of speed-ups by threads over one thread at the same size; None if none was measured."""
    pairs = group(rows, lambda row: (label(row), row["device"], row["dtype"], row["size"]))
    lines = []
    for own in pairs.values():
        ratios = {row["threads"]: [row[f"{action}_ratio"] for action in ACTIONS] for row in own}
        for threads in sorted(ratios.keys() - {1}) if 1 in ratios else ():
            gains = [f"{many / one:.2f}" for many, one in zip(ratios[threads], ratios[1], strict=True)]
            lines.append((label(own[0]), f"{own[0]['size']:,}", str(threads), *gains))
    return Table("Threads against one", ("compressor", "size", "threads", *ACTIONS), lines) if lines else None


def _exchanges(rows: Sequence[Row], page: Path) -> str:
    large = [row for row in rows if row["numel"] >= model.LARGE] or rows
    picture = _picture(page, "exchange")
    figure.draw_exchange(large, picture)
    sections = "".join(_section(table) for table in tables.exchange_tables(large))
    return EXCHANGES + sections + f"\n![times of exchanges](images/{picture.name})\n"


def _bytes_by_ranks(rows: Sequence[Row]) -> Table:
    sizes = sorted({row["ranks"] for row in rows})
    lines = []
    for (_, numel, system, pattern), own in group(
        rows, lambda row: (row["model"], row["numel"], row["system"], row["pattern"])
    ).items():
        sent = {row["ranks"]: row["bytes_sent"] / 1e6 for row in own}
        cells = [f"{sent[k]:.4g} ({sent[k] * k / (2 * (k - 1)):.4g})" if k in sent else "" for k in sizes]
        lines.append((f"{system}, {pattern}", f"{numel:,}", *cells))
    return Table("Bytes by ranks", ("system", "gradients", *(f"K = {k}" for k in sizes)), lines)


def _model(checks: Sequence[Check], codecs: Sequence[Row], page: Path) -> str:
    text = MODEL.format(formulas=_formulas(), small=model.SMALL, large=model.LARGE)
    text += "".join(_section(one.table()) for one in checks)
    machine = _combined(checks)
    curves = {"fp32": FP32, "fp16": CodecSpeed(16), **_curves(checks, codecs)}
    workload = Workload("resnet18", resnet18())
    picture = _picture(page, "model")
    figure.draw_model(machine, curves, workload.numel, picture)
    return text + f"\nUp to 1,024 ranks, with {model.constants(machine)}:\n\n![by the model](images/{picture.name})\n"


def _combined(checks: Sequence[Check]) -> Machine:
    """Combines the fastest links of known rate with the memory bandwidth of a single host."""
    linked = [one.machine for one in checks if one.rows[0]["rate"]] or [one.machine for one in checks]
    local = [one.machine.local_bandwidth for one in checks if one.rows[0]["hosts"] == 1]
    return replace(max(linked, key=lambda one: one.bandwidth), **({"local_bandwidth": local[0]} if local else {}))


def _curves(checks: Sequence[Check], codecs: Sequence[Row]) -> dict[str, CodecSpeed]:
    """Returns the codecs of the compressed systems, at their speed on a dedicated core."""
    rows = {
        row["system"]: row for one in checks for row in one.rows if concrete()[row["pattern"]].reduction == "gather"
    }
    found = {name: model.codec_of(row, codecs) for name, row in rows.items()}
    return {name: codec for name, codec in found.items() if codec is not None}


def _formulas() -> str:
    """Returns the formulas in the docstrings of the cost model and of every exchange, without their summaries."""
    rows = [("exchange", f"{'codec':33}collectives")]
    for name, found in concrete().items():
        first, *more = _formula(found.slice_cost).splitlines()
        rows += [(name, first), *(("", line) for line in more)]
    return f"{_formula(cost)}\n\n" + "\n".join(f"    {name:15}{formula}" for name, formula in rows)


def _formula(documented: object) -> str:
    return (inspect.getdoc(documented) or "").partition("\n\n")[2].strip()


def _section(table: Table) -> str:
    return f"\n**{table.title}**\n\n{table.markdown()}"
