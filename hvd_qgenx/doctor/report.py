"""The doctor's report."""

from collections.abc import Iterator, Sequence
from typing import Any

from rich.text import Text

from hvd_qgenx.bench.tables import Table, milliseconds
from hvd_qgenx.doctor.finding import ERROR, OK, WARNING, Finding
from hvd_qgenx.doctor.measurement import Measurement

STYLES = {OK: "green", WARNING: "yellow", ERROR: "bold red"}
SLOW = 2.0
"""A rank whose codec is this many times slower than another's is reported."""


def lines(findings: Sequence[Finding]) -> Iterator[Text]:
    """Yields a line for every finding, and a second one with how to fix it."""
    width = max((len(finding.subject) for finding in findings), default=0)
    for finding in findings:
        level = finding.level
        text = f"{finding.subject:{width}}  {finding.text}{_of(finding.ranks)}"
        yield Text.assemble((f"{level:8}", STYLES[finding.level]), text)
        if finding.mend:
            yield Text(f"{'':8}{'':{width}}  -> {finding.mend}", style="dim")


def remarks(found: Measurement) -> list[Finding]:
    """Returns warnings about links and ranks that slow the others down."""
    typical = found.links.typical_bandwidth()
    remarks = [
        Finding(
            "links",
            WARNING,
            f"{name} is much slower than the typical {_speed(typical)}",
            "check its cable and interface",
        )
        for name in found.links.slow()
    ]
    for text, codecs in found.codecs.items():
        slowest, fastest = min(codecs, key=lambda c: c.encode), max(codecs, key=lambda c: c.encode)
        if fastest.encode > SLOW * slowest.encode:
            what = f"rank {codecs.index(slowest)} encodes {text} at {_speed(slowest.encode)} of float32"
            told = f"{what}, rank {codecs.index(fastest)} at {_speed(fastest.encode)}"
            remarks.append(Finding("codec", WARNING, told, "check what else runs on that host"))
            break
    return remarks


def links(found: Measurement) -> str:
    """Returns a sentence on the speeds between ranks."""
    of = found.links
    between = "ranks" if of.one_host else "hosts"
    return (
        f"Between {between}: typically {_speed(of.typical_bandwidth())} in each direction, at least "
        f"{_speed(of.least_bandwidth())}; {milliseconds(of.typical_latency())} ms for one byte; Horovod's sums take "
        f"{milliseconds(of.start)} ms to start."
    )


def codecs(found: Measurement) -> Table:
    """Returns a table of the compressors' speeds on every rank."""
    ranks = range(found.ranks.total)
    return Table(
        "GB/s encoded / decoded, on all ranks at once",
        ("compressor", *(f"rank {rank}" for rank in ranks)),
        [(text, *(f"{c.encode / 1e9:.3g} / {c.decode / 1e9:.3g}" for c in own)) for text, own in found.codecs.items()],
    )


def forecasts(found: Measurement) -> Table:
    """Returns a table of the exchanges' seconds, the quickest first."""
    none = found.uncompressed.seconds
    return Table(
        f"one exchange of {found.workload.numel:,} gradients",
        ("compressor", "exchange", "ms", "x none", "from", "error"),
        [
            (
                one.candidate.text,
                one.candidate.exchange,
                milliseconds(one.seconds),
                f"{none / one.seconds:.2f}",
                one.source,
                f"{one.error:.2g}" + (" (too large)" if one.error > found.most_error else ""),
            )
            for one in sorted(found.forecasts, key=lambda one: one.seconds)
        ],
    )


def advice(found: Measurement) -> str:
    """Returns the recommendation, and the options to pass."""
    best, none = found.best, found.uncompressed
    if best.candidate.compresses:
        what = (
            f"{best.candidate} takes {milliseconds(best.seconds)} ms, {none.seconds / best.seconds:.1f} times as fast"
        )
        said = f"Compress: {what} as no compression with {milliseconds(none.seconds)} ms."
    else:
        rest = [one for one in found.forecasts if one.candidate.compresses and one.error <= found.most_error]
        next_best = min(rest, key=lambda one: one.seconds, default=None)
        said = f"Do not compress here: an exchange takes {milliseconds(none.seconds)} ms without"
        said += f", {milliseconds(next_best.seconds)} ms with {next_best.candidate}." if next_best else "."
    return f"For {_model(found)}:\n{said}\n  hvd-qgenx gan {best.candidate.options}"


def as_dict(findings: Sequence[Finding], found: Measurement | None) -> dict[str, Any]:
    """Returns the whole report as plain values for JSON, in seconds, bytes, and bytes per second."""
    return {
        "findings": [finding.as_dict() for finding in findings],
        "measurement": found and _measurement(found),
    }


def _measurement(found: Measurement) -> dict[str, Any]:
    of = found.links
    return {
        "model": found.workload.name,
        "numel": found.workload.numel,
        "ranks": found.ranks.total,
        "hosts": found.ranks.hosts,
        "seconds": found.seconds,
        "bytes_sent": found.bytes_sent,
        "links": {
            "pairs": [
                {"between": [of.name(a), of.name(b)], "latency": of.latency[a, b], "bandwidth": speed}
                for (a, b), speed in of.bandwidth.items()
            ],
            "start": of.start,
        },
        "codecs": {
            text: [{"bits": c.bits, "encode": c.encode, "decode": c.decode} for c in own]
            for text, own in found.codecs.items()
        },
        "forecasts": [
            {
                "compressor": one.candidate.text,
                "exchange": one.candidate.exchange,
                "seconds": one.seconds,
                "source": one.source,
                "error": one.error,
                "options": one.candidate.options,
                "best": one is found.best,
            }
            for one in found.forecasts
        ],
        "most_error": found.most_error,
        "compress": found.best.candidate.compresses,
    }


def _model(found: Measurement) -> str:
    return f"{found.workload.name}, {found.workload.numel:,} gradients, on {found.ranks.total} ranks"


def _of(ranks: tuple[int, ...]) -> str:
    return f"  [{'rank' if len(ranks) == 1 else 'ranks'} {', '.join(map(str, ranks))}]" if ranks else ""


def _speed(value: float) -> str:
    return f"{value / 1e9:.3g} GB/s" if value >= 1e9 else f"{value / 1e6:.3g} MB/s"
