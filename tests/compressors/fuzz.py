"""Encodes and decodes damaged payloads whose memory ends at pages that nobody may touch.

``python -m tests.compressors.fuzz KERNELS TRIALS EVERY``: so many trials of every EVERY-th configuration, by the
kernels called cpu, reference or gpu (in Triton's interpreter). An access outside of payload or vector is a segmentation
fault, so it has a process of its own, which says before every trial on standard error what it tries.
"""

import ctypes
import mmap
import os
import sys
from collections.abc import Iterator
from importlib import import_module
from itertools import islice
from random import Random

import torch
from torch import Tensor

import compressors
from compressors import Coded, Compressor, SummedCompressor, kernels
from compressors.coding import CODES
from compressors.kernels import reference
from compressors.quantizer import BucketQuantizer
from compressors.scaled import as_contraction
from tests.compressors import conformance

SEED = 20
SIZES = (0, 1, 2, 7, 8, 9, 15, 17, 63, 64, 65, 255, 256, 257, 1000, 1023, 1024, 1025, 2049, 5000)
DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


class Fence:
    """Memory between two pages that may be neither read nor written."""

    def __init__(self, size: int) -> None:
        page = mmap.PAGESIZE
        self.size = -(-size // page) * page
        self.memory = mmap.mmap(-1, self.size + 2 * page)
        self.bytes = torch.frombuffer(self.memory, dtype=torch.uint8)[page:-page]
        protect = ctypes.CDLL(None, use_errno=True).mprotect
        for place in (self.bytes.data_ptr() - page, self.bytes.data_ptr() + self.size):
            if protect(ctypes.c_void_p(place), page, 0):
                raise OSError(ctypes.get_errno(), "mprotect")

    def put(self, tensor: Tensor, at_end: bool) -> Tensor:
        """Returns a copy that begins behind the first of the pages, or ends before the last."""
        size = tensor.nbytes
        place = self.bytes[self.size - size :] if at_end else self.bytes[:size]
        copy = place.view(tensor.dtype)
        copy.copy_(tensor)
        return copy


def subjects() -> Iterator[tuple[str, Compressor]]:
    """Every configuration of every compressor, and of those that send what others send."""
    for configuration in conformance.configurations():
        yield conformance.label(configuration), compressors.make(configuration[0], **configuration[1])
        if any(field in configuration[1] for field in ("bits", "scale_per", "scaled")):
            yield f"{conformance.label(configuration)}-small-buckets", conformance.make(configuration)
    for name in compressors.names():
        inner = compressors.make(name)
        if isinstance(inner, BucketQuantizer):
            for code in CODES:
                yield f"{code}-{name}", Coded(inner, code)
        if (scaled := as_contraction(inner)) is not inner:
            yield f"scaled-{name}", scaled
    for bits in (2, 3, 8):
        integers = conformance.make(("intsgd", {"bits": bits}))
        yield f"coded-intsgd-{bits}", compressors.with_coding(integers, "huffman")


def vector_of(random: Random, size: int, dtype: torch.dtype) -> Tensor:
    """Random numbers, some of them hostile."""
    vector = torch.randn(
        size, generator=torch.Generator().manual_seed(random.randrange(1 << 30))
    ) * 10.0 ** random.choice((-30, -2, 0, 3))
    for special in random.sample((0.0, -0.0, 1e-45, 3e38, float("inf"), float("nan")), random.choice((0, 0, 1, 2))):
        vector[:: random.randint(2, 50)] = special
    return vector.to(dtype)


def damaged(random: Random, payload: Tensor) -> Tensor:
    """A payload with some bytes changed, or of another length."""
    payload = payload.clone()
    size = len(payload)
    change = random.randrange(6)
    if change == 0 or not size:
        return payload if random.random() < 0.5 else torch.cat([payload, payload[:1], payload.new_ones(1)])
    if change == 1:
        return payload[: random.randrange(size)].clone()
    if change == 2:
        return torch.randint(
            0, 256, (size,), generator=torch.Generator().manual_seed(random.randrange(1 << 30)), dtype=torch.uint8
        )
    start = random.randrange(min(size, 40)) if change == 3 else random.randrange(size)
    stop = start + random.choice((1, 1, 2, 4, 8, size))
    payload[start:stop] = random.choice((0, 1, 0x7F, 0x80, 0x88, 0x99, 0xFF, random.randrange(256)))
    return payload


class Fuzzer:
    """Tries payloads with one kernel module, held against the reference."""

    def __init__(self, kernel: object) -> None:
        self.kernel = kernel
        self.fences = {name: Fence(1 << 17) for name in ("vector", "payload")}
        self.outcomes = {"refused": 0, "decoded": 0}

    def trial(self, label: str, compressor: Compressor, random: Random) -> None:
        size, dtype, at_end = random.choice(SIZES), random.choice(DTYPES), random.random() < 0.75
        print(f"{label}: {size} of {dtype}, at the {'end' if at_end else 'beginning'}", file=sys.stderr, flush=True)
        vector = self.fences["vector"].put(vector_of(random, size, dtype), at_end)
        room = torch.zeros(compressor.payload_bytes(size, dtype), dtype=torch.uint8)
        payload = self.fences["payload"].put(room, at_end)
        kernels.for_device = lambda device: self.kernel
        payload = payload[: compressor.encode(vector, payload, key=random.getrandbits(64))]
        for _ in range(4):
            self._decode(compressor, damaged(random, payload), vector.clone(), random, at_end)

    def _decode(self, compressor: Compressor, payload: Tensor, before: Tensor, random: Random, at_end: bool) -> None:
        add, results = random.random() < 0.5, []
        sent = self.fences["payload"].put(payload, at_end)
        for kernel in (self.kernel, reference):
            kernels.for_device = lambda device, kernel=kernel: kernel
            vector = self.fences["vector"].put(before, at_end)
            try:
                results.append(self._results(compressor, sent, vector, add))
            except ValueError as error:
                results.append([type(error), str(error)])
        assert results[0] == results[1], f"not as the reference decodes: {results}"
        assert torch.equal(sent, payload), "the payload was changed"
        self.outcomes["decoded" if isinstance(results[0][0], bool) else "refused"] += 1

    @staticmethod
    def _results(compressor: Compressor, payload: Tensor, vector: Tensor, add: bool) -> list[object]:
        """Returns all that a payload is decoded to; every NaN is the same."""
        is_finite = compressor.is_finite(payload, len(vector), vector.dtype)
        compressor.decode(payload, vector, add)
        summed = isinstance(compressor, SummedCompressor)
        if is_finite and not add and not summed and vector.dtype.itemsize >= 4:  # integers: whole blocks are none
            assert vector.isfinite().all(), "numbers are not finite but were called so"
        found = [torch.where(vector.isnan(), torch.nan, vector)]
        if summed and compressor.ready:
            found.append(compressor.add_up([payload, payload], len(vector)))
        return [is_finite, *(tensor.view(torch.uint8).tolist() for tensor in found)]


def main(name: str, trials: int, every: int) -> None:
    fuzzer = Fuzzer(import_module(f"compressors.kernels.{name}"))
    for label, compressor in islice(subjects(), None, None, every):
        random = Random(f"{SEED} {label}")
        for _ in range(trials):
            fuzzer.trial(label, compressor, random)
    print(*(f"{count} {outcome}" for outcome, count in fuzzer.outcomes.items()), sep=", ")


if __name__ == "__main__":
    if sys.argv[1:2] == ["gpu"]:
        os.environ["TRITON_INTERPRET"] = "1"
    main(sys.argv[1], *map(int, sys.argv[2:]))
