"""hvd-qgenx bench"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import compressors
from compressors import BucketQuantizer, Coded, Compressor
from compressors.coding import CODES
from compressors.kernels.threads import set_threads
from compressors.text import at_widths
from hvd_qgenx.bench.registry import DTYPES, MODELS
from hvd_qgenx.cli import options
from hvd_qgenx.cli.options import F
from hvd_qgenx.cli.session import exit_codes, require_alone
from hvd_qgenx.errors import ConfigurationError, configuration_errors
from hvd_qgenx.exchange.registry import NAMES
from hvd_qgenx.reading import unusable
from hvd_qgenx.transport import Transport, launcher_rank
from hvd_qgenx.transport.agreement import require_same, require_size
from hvd_qgenx.transport.launcher import started_by_torch

if TYPE_CHECKING:
    from hvd_qgenx.bench.codec import Case, Place
    from hvd_qgenx.bench.exchange import Plan
    from hvd_qgenx.bench.files import Measured
    from hvd_qgenx.bench.tables import Row, Table

SIZES = tuple(10**power for power in range(3, 9))
WIDTHS = (2, 3, 4, 8)
SYSTEMS = ("minmax:bits=4", "rotated:bits=4", "variable:bits=2")


class Count(click.ParamType):  # type: ignore[type-arg]
    """A whole number from 1 on, which may be written like 1e6 or 2^20."""

    name = "count"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        base, _, power = str(value).partition("^")
        try:
            number = float(base) ** float(power or 1)
        except (ValueError, ArithmeticError):
            self.fail(f"{value!r} is not a number.", param, ctx)
        if not (1 <= number < float("inf") and number == int(number)):
            self.fail(f"{value} is not a whole number of at least 1.", param, ctx)
        return int(number)


class Rate(click.ParamType):  # type: ignore[type-arg]
    """Bits per second as ``tc`` has them, like 100mbit; becomes bytes per second."""

    name = "rate"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        found = re.fullmatch(r"(\d+(?:\.\d+)?)([kmg]?)bit", value.lower())
        if found is None or float(found[1]) == 0:
            self.fail(f"{value!r} is not a rate such as 100mbit or 1gbit.", param, ctx)
        return float(found[1]) * {"": 1, "k": 1e3, "m": 1e6, "g": 1e9}[found[2]] / 8


def outputs(function: F) -> F:
    """Adds the options of both measurements."""
    for option in (
        click.option("--figure", type=click.Path(path_type=Path), help="Draw the results into this PNG."),
        click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the results into this file."),
        click.option("--repeats", type=click.IntRange(1), default=7, show_default=True, help="Timings per row."),
    ):
        function = option(function)
    return function


@click.group()
def bench() -> None:
    """Measure how fast compressors and exchanges are on this machine.

    Everything is verified before it is timed, and timed in turn with what it is compared to.
    """


@bench.command("codec")
@click.argument("names", nargs=-1, metavar="[COMPRESSOR]...")
@click.option("--size", "sizes", type=Count(), multiple=True, help="Coordinates; repeatable.  [default: 1e3 ... 1e8]")
@click.option(
    "--bits", type=options.number, multiple=True, default=WIDTHS, show_default=True, help="Widths; repeatable."
)
@click.option("--threads", type=click.IntRange(1), multiple=True, default=(1,), show_default=True, help="Repeatable.")
@click.option(
    "--dtype",
    "dtypes",
    type=click.Choice(list(DTYPES)),
    multiple=True,
    default=("float32",),
    show_default=True,
    help="Repeatable.",
)
@click.option(
    "--device",
    "devices",
    type=click.Choice(["cpu", "cuda"]),
    multiple=True,
    help="Repeatable.  [default: cpu, and cuda if there is one]",
)
@click.option(
    "--coding", type=click.Choice(CODES), multiple=True, help="Also in this entropy code, where there are symbols."
)
@outputs
def codec_command(**values: Any) -> None:
    """Time encoding, decoding, and decoding into a sum, next to copies of as many float32.

    \b
    Examples:
      hvd-qgenx bench codec
      hvd-qgenx bench codec minmax rotated variable:weighting=per-layer --size 1e6 --bits 4
      hvd-qgenx bench codec --size 1e7 --threads 1 --threads 2 --json codec.json --figure codec.png

    COMPRESSOR is NAME or NAME:PARAMETER=VALUE,..., taken at every width of --bits that it can have; by default
    all, also at the widths they have by themselves. The payload and what it decodes to must be those of the
    reference, bit for bit, or nothing is printed. Ratios are medians over rounds, speeds are in GB of float32 a
    second, with the range over rounds.
    """
    from hvd_qgenx.bench import codec, machine, tables
    from hvd_qgenx.bench.files import Measured

    with exit_codes():
        require_alone()
        cases = _cases(values["names"], values["bits"], values["coding"])
        places = _places(values)
        sizes = sorted(set(values["sizes"] or SIZES))
        _check_outputs(values)
        checks = [
            (case, place, size) for place in places for size in {min(s, codec.PART) for s in sizes} for case in cases
        ]
        work = [(case, place, size) for place in places for size in sizes for case in cases]
        for case, place, size in _bar(checks, "verifying"):
            _use(place)
            codec.verify(case, place, size)
        rows = []
        for case, place, size in _bar(work, "timing"):
            _use(place)
            rows.append(codec.measure(case, place, size, values["repeats"]))
        _publish(Measured("codec", _command(), machine.describe(), rows), tables.codec_tables(rows), values)


@bench.command("exchange")
@click.option(
    "--model",
    "models",
    type=click.Choice(list(MODELS)),
    multiple=True,
    help="Exchange the gradients of this model; repeatable.",
)
@click.option("--numel", "numels", type=Count(), multiple=True, help="One matrix of so many coordinates; repeatable.")
@click.option(
    "--compressor",
    "texts",
    multiple=True,
    default=SYSTEMS,
    show_default=True,
    help=f"One of {options.COMPRESSORS}; repeatable. none is always there.",
)
@click.option("--exchange", "exchange_name", default="auto", show_default=True, help=f"One of {', '.join(NAMES)}.")
@click.option("--slice-bytes", type=Count(), help="Payload of a slice.  [default: the exchange's own]")
@click.option("--rate", type=Rate(), help="Rate of the links, like 1gbit: times are then compared with bytes / rate.")
@click.option(
    "--workers",
    type=click.IntRange(1),
    multiple=True,
    help="Ranks, in this process; repeatable. Under horovodrun, as started.  [default: 1]",
)
@options.launcher_options
@outputs
def exchange_command(**values: Any) -> None:
    """Time whole exchanges of a model's gradients by our optimizer, next to stock Horovod's.

    \b
    Examples:
      horovodrun -np 3 -H a:1,b:1,c:1 hvd-qgenx bench exchange --rate 1gbit
      horovodrun -np 3 -H localhost:3 hvd-qgenx bench exchange --model gan --compressor minmax:bits=2
      hvd-qgenx bench exchange --numel 1e6 --workers 2 --workers 4 --workers 8

    All take turns in the same run; a time is that of the slowest rank. Every result must be the mean over
    ranks, as near as rounding allows, and the same on all, or nothing is printed. Horovod's all-reduces use
    the ring and fuse small tensors; without horovodrun they are left out. [default model: resnet18]
    """
    from hvd_qgenx.bench import exchange as exchange_bench
    from hvd_qgenx.bench import machine, tables
    from hvd_qgenx.bench.files import Measured
    from hvd_qgenx.transport import inprocess
    from hvd_qgenx.transport.cores import share_cores

    with exit_codes() as session:
        if launcher_rank() is not None:
            exchange_bench.fuse_as_stock()
            transport = session.initialize(values["expect_ranks"], values["expect_hosts"])
            require_same(transport, {key: value for key, value in values.items() if key != "json_file"})
        plans = _plans(values, stock=session.transport is not None and not started_by_torch())
        if session.transport is not None:
            share_cores(session.transport)
            rows = _exchange(plans, session.transport)
            versions = session.transport.versions()
        else:
            sizes = values["workers"] or (1,)
            require_size(sizes[0], values["expect_ranks"])
            rows = [row for size in sizes for row in inprocess.run(size, partial(_exchange, plans))[0]]
            versions = {}
        if session.transport is None or session.transport.rank == 0:
            found = Measured("exchange", _command(), machine.describe(versions), rows)
            _publish(found, tables.exchange_tables(rows), values)


@bench.command("report")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("performance.md"),
    show_default=True,
    help="The page.",
)
def report_command(paths: Sequence[Path], out: Path) -> None:
    """Write a page with tables and pictures from files that --json wrote, and hold the cost model against them.

    \b
    Example:
      hvd-qgenx bench report runs/bench/*.json

    Pictures go into a folder `images` beside the page. What follows the marker at the end of an earlier page is
    kept.
    """
    from hvd_qgenx.bench import files, report

    with exit_codes():
        require_alone()
        found = files.read(paths)
        with unusable(" or ".join(map(str, paths)), files.REMEDY):
            report.write(found, out)
    click.echo(f"wrote {out}")


def _cases(texts: Sequence[str], widths: Sequence[float], codes: Sequence[str]) -> list[Case]:
    from hvd_qgenx.bench.codec import Case

    with configuration_errors():
        plain = [Case(*made) for made in (at_widths(texts, widths) if texts else _all(widths))]
    coded = [
        Case(f"{case.name} + {code}", case.setting, Coded(case.compressor, code))
        for code in codes
        for case in plain
        if isinstance(case.compressor, BucketQuantizer)
    ]
    return plain + coded


def _all(widths: Sequence[float]) -> list[tuple[str, str, Compressor]]:
    made = []
    for name in compressors.names():
        own = getattr(compressors.make(name), "bits", 0)
        made += at_widths([name], sorted({own, *widths}))
    for bits in widths:
        if f"{bits:g} bits" not in {width for _, width, _ in made}:
            raise ConfigurationError(f"no compressor can have {bits:g} bits")
    return made


def _places(values: dict[str, Any]) -> list[Place]:
    import torch

    from hvd_qgenx.bench.codec import Place
    from hvd_qgenx.transport.quota import process_cores

    most = process_cores()
    for threads in values["threads"]:
        if threads > most:
            raise ConfigurationError(f"{threads} threads cannot run at once: this process may use {most} cores")
    devices = values["devices"] or (("cpu", "cuda") if torch.cuda.is_available() else ("cpu",))
    if "cuda" in devices and not torch.cuda.is_available():
        raise ConfigurationError("there is no GPU that torch can use; leave out --device cuda")
    return [
        Place(torch.device(device), getattr(torch, dtype), threads)
        for device in devices
        for dtype in dict.fromkeys(values["dtypes"])
        for threads in (dict.fromkeys(values["threads"]) if device == "cpu" else (1,))
    ]


def _use(place: Place) -> None:
    import torch

    torch.set_num_threads(place.threads)
    set_threads(place.threads)


def _plans(values: dict[str, Any], stock: bool) -> list[Plan]:
    """Returns the measurements; every wrong option is found here."""
    from hvd_qgenx import exchange as exchanges
    from hvd_qgenx.bench import workloads
    from hvd_qgenx.bench.exchange import Plan

    _check_outputs(values)
    chosen = exchanges.get(values["exchange_name"])
    with configuration_errors():
        made = {text: compressors.parse(text) for text in ("none", *values["texts"])}
    for compressor in made.values():
        chosen.check(compressor)
    models = values["models"] or (() if values["numels"] else ("resnet18",))
    loads = [workloads.Workload(name, MODELS[name]()) for name in models]
    loads += [workloads.vector(numel) for numel in values["numels"]]
    sliced = {} if values["slice_bytes"] is None else {"slice_bytes": values["slice_bytes"]}
    make = partial(exchanges.make, values["exchange_name"], **sliced)
    return [Plan(load, made, make, values["repeats"], values["rate"], stock) for load in loads]


def _exchange(plans: Sequence[Plan], transport: Transport) -> list[Row]:
    """Measures on one group of ranks."""
    from hvd_qgenx.bench import exchange as exchange_bench

    return [
        row
        for plan in plans
        for row in exchange_bench.measure(
            plan, transport, partial(_bar, what=f"{plan.workload.name} on {transport.size}", shown=transport.rank == 0)
        )
    ]


def _bar(work: Sequence[Any], what: str, shown: bool = True) -> Any:
    from tqdm import tqdm

    return tqdm(work, what, leave=False, delay=1, disable=None if shown else True)


def _command() -> str:
    return shlex.join(["hvd-qgenx", *sys.argv[1:]])


def _check_outputs(values: dict[str, Any]) -> None:
    for key in ("json_file", "figure"):
        path = values[key]
        if path is not None:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise ConfigurationError(f"cannot write {path}: {error.strerror}") from error


def _publish(found: Measured, shown: Sequence[Table], values: dict[str, Any]) -> None:
    if values["json_file"]:
        found.write(values["json_file"])
    if values["figure"]:
        from hvd_qgenx.bench import figure

        draw: Callable[[Sequence[Row], Path], None] = {"codec": figure.draw_codec, "exchange": figure.draw_exchange}[
            found.kind
        ]
        draw(found.rows, values["figure"])
    click.echo("\n".join(table.text() for table in shown), nl=False)
