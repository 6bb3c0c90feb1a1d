"""The cost model held against measurements that it made itself."""

import pytest

from hvd_qgenx.bench.files import Measured
from hvd_qgenx.bench.model import best_slices, check
from hvd_qgenx.bench.report import KEEP, write
from hvd_qgenx.exchange import AllReduce, TwoPhase
from hvd_qgenx.exchange.cost import FP32, CodecSpeed, Machine, Ranks

MACHINE = Machine(bandwidth=1.2e8, latency=1e-4, negotiation=1e-3)
RANKS = Ranks(3)
HALF = CodecSpeed(16, encode=5e9, decode=7e9)
CODEC = CodecSpeed(4.0625, encode=6e9, decode=8e9)


def times(seconds):
    return {"median": seconds, "min": seconds, "max": seconds}


def exchange_row(system, pattern, numel, seconds, slices=1):
    configuration = "minmax:bits=4" if system == "minmax" else "fp16:"
    fp32 = AllReduce.cost(MACHINE, RANKS, numel)
    return {
        **{"model": "matrix", "tensors": 1, "numel": numel, "system": system, "configuration": configuration},
        **{"pattern": pattern, "slices": slices, "ranks": 3, "hosts": 3, "ranks_on_machine": 3, "rate": 1.25e8},
        **{"bytes_sent": 1000, "seconds": times(seconds), "floor_seconds": 1.0, "floor_ratio": seconds},
        **{"fp32_ratio": fp32 / seconds, "fp16_ratio": 1.0},
        **{"encode_seconds": 0.1, "wire_seconds": 0.1, "decode_seconds": 0.1},
    }


def exchange_rows(numel, slices=1):
    shared = CODEC.shared(3, 2)
    return [
        exchange_row("horovod fp32", "allreduce", numel, AllReduce.cost(MACHINE, RANKS, numel, FP32)),
        exchange_row("horovod fp16", "allreduce", numel, AllReduce.cost(MACHINE, RANKS, numel, HALF.shared(3, 2))),
        exchange_row("minmax", "two-phase", numel, TwoPhase.cost(MACHINE, RANKS, numel, shared, slices), slices),
    ]


def codec_row(size, name="minmax", parameters="bits=4", codec=CODEC):
    return {
        **{
            "compressor": "minmax",
            "setting": "4 bits",
            "configuration": f"{name}:{parameters}",
            "device": "cpu",
            "kernels": "numba",
        },
        **{"dtype": "float32", "threads": 1, "size": size, "payload_bytes": 508, "bits": codec.bits},
        **{"copy_seconds": times(4 * size / 7e9), "encode_seconds": times(4 * size / codec.encode)},
        **{f"{action}_seconds": times(4 * size / codec.decode) for action in ("decode", "accumulate")},
        **{f"{action}_ratio": 1.0 for action in ("encode", "decode", "accumulate")},
    }


@pytest.fixture
def found():
    machine = {"processor": "chip", "flags": ["avx2"], "cores": 2, "memory_gb": 8, "gpus": [], "versions": {}}
    rows = [*exchange_rows(1000), *exchange_rows(10_000_000, slices=8)]
    return [
        Measured(
            "codec",
            "bench codec",
            machine,
            [codec_row(1000), codec_row(1_000_000), codec_row(1_000_000, "fp16", "", HALF)],
        ),
        Measured("exchange", "bench exchange", machine, rows),
    ]


def test_the_machine_is_found_and_the_rest_predicted(found):
    (place,) = check(found)
    assert place.place == "3 ranks on 3 hosts, 1 gbit/s"
    for name in ("bandwidth", "latency", "negotiation"):
        assert getattr(place.machine, name) == pytest.approx(getattr(MACHINE, name))
    predictions = place.table().rows
    assert len(predictions) == 6
    assert {cells[-1] for cells in predictions} == {"1.00"}
    assert [cells[0] for cells in predictions if "*" not in cells[0]] == ["horovod fp16", "minmax"]  # of the large


def test_without_the_speed_of_a_compressor_it_is_left_out(found):
    (place,) = check(found[1:])
    assert {row["system"] for row in place.rows} == {"horovod fp32"}


def test_best_slices():
    gigabit = Machine(bandwidth=1.25e8)
    codec = CodecSpeed(4, 2e9, 4e9)
    assert best_slices(TwoPhase, Machine(1.25e8, latency=1), RANKS, 1e6, codec) == 1
    assert best_slices(TwoPhase, gigabit, RANKS, 1e7, codec, most=16) == 16
    machine = Machine(1.25e8, 1e-4, 1e-3)
    best = best_slices(TwoPhase, machine, RANKS, 1e7, codec)
    assert 1 < best < 256
    least = TwoPhase.cost(machine, RANKS, 1e7, codec, best)
    assert all(TwoPhase.cost(machine, RANKS, 1e7, codec, slices) >= least for slices in range(1, 257))


def test_the_page(found, tmp_path):
    page = tmp_path / "page.md"
    write(found, page)
    text = page.read_text()
    assert "On chip (avx2), 2 cores, 8 GB." in text
    assert "allreduce      4 d / E + 4 d / D" in text
    assert "B = 120 MB/s, a = 100 us, g = 1e+03 us" in text
    assert text.endswith(KEEP)
    assert {path.name for path in (tmp_path / "images").iterdir()} == {
        *("page-codec.png", "page-exchange.png", "page-model.png")
    }
