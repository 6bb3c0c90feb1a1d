"""The contract of compressors: what ``compressors/base.py`` says in words, as checks."""

import random
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor

from compressors import Compressor, Context, IntegerCompressor, SummedCompressor
from compressors.random import generator
from hvd_qgenx import exchange
from hvd_qgenx.testing.requirement import require
from hvd_qgenx.testing.statistics import check_statistics
from hvd_qgenx.transport import inprocess

Make = Callable[[], Compressor]
"""Makes a new compressor, of the same parameters at each call."""

SIZES = (0, 1, 7, 8, 9, 1023, 1024, 1025, 4099)
DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
EXCHANGES = {"gather": "allgather", "average": "allreduce", "sum": "integer-sum", "rounds": "rounds"}
"""The plainest exchange of every reduction."""
MANY = 20
"""How many times its bound a single squared error may be."""
GUARD = 64
"""Coordinates beside a vector that decoding must not touch."""


def check_compressor(make: Make) -> None:
    """Checks the contract of a compressor; takes seconds.

    Payloads of every size have the bytes that are announced; shape and dtype come back; decoding needs nothing but
    the payload, and can add; the bits depend on seed, rank and step alone, and go on from a state; Inf and NaN are not
    hidden; payloads of any content stay within the vector; bias and variance are what the class says; three ranks that
    exchange have the same mean.

    Args:
        make: makes the compressor with the parameters to check, a new one at each call.

    Raises:
        AssertionError: it breaks its contract; says where.
    """
    for check in (
        *(check_sizes, check_surroundings, check_shapes, check_decoding, check_adding, check_state),
        *(check_randomness, check_non_finite, check_hostile_payloads, check_exchange),
    ):
        check(make)
    check_statistics(bound(make, 5), together=False)


def bound(make: Make, seed: int = 0, rank: int = 0) -> Compressor:
    """Returns a new compressor of this seed and rank; integers get a scale at once, the same for whatever follows."""
    made = make().for_rank(rank, seed)
    if isinstance(made, IntegerCompressor):
        made.set_scales([1.0])
    return made


def check_sizes(make: Make) -> None:
    """Requires the announced bytes, flat, of tensors of every size and dtype, none and one element among them."""
    compressor = bound(make)
    for size in SIZES:
        for dtype in DTYPES:
            payload, _ = compressor.compress(_normal(size).to(dtype))
            announced, what = compressor.payload_bytes(size, dtype), f"{size} coordinates of {dtype}"
            fits = payload.nbytes == announced if compressor.exact_size else payload.nbytes <= announced
            require(fits, f"a payload of {what} has {payload.nbytes} bytes, but payload_bytes says {announced}")
            require(payload.dim() == 1 and payload.is_contiguous(), f"the payload of {what} is not 1-D and contiguous")


def check_shapes(make: Make) -> None:
    """Requires shape and dtype of tensors back, of views that are not contiguous too."""
    for dtype in DTYPES:
        compressor, matrix = bound(make), _normal(12, 10).to(dtype)
        for tensor in (matrix, matrix.t(), matrix[::2, 1:], matrix[0, 0], matrix[:0], matrix.view(2, 3, 4, 5)):
            decoded, what = compressor.decompress(*compressor.compress(tensor)), f"{tuple(tensor.shape)} of {dtype}"
            require(decoded.shape == tensor.shape, f"a tensor {what} comes back with shape {tuple(decoded.shape)}")
            require(decoded.dtype == dtype, f"a tensor {what} comes back as {decoded.dtype}")
            require(torch.isfinite(decoded).all(), f"a finite tensor {what} decodes to Inf or NaN")


def check_decoding(make: Make) -> None:
    """Requires that another instance decodes a payload, with an error as the bound has it, at every scale."""
    for scale in (1e-3, 1.0, 1e3):
        tensor = scale * _normal(5, 70)
        payload, _ = bound(make, seed=3).compress(tensor)
        elsewhere, context = bound(make, seed=99, rank=7), Context(tensor.shape, tensor.dtype)
        first, again = (elsewhere.decompress(each, context) for each in (payload, payload.clone()))
        require(torch.equal(first, again), "one payload decodes to two tensors")
        error, most = _squared(first - tensor), MANY * bound(make).variance_bound(tensor)
        require(
            error <= most + 1e-12 * scale**2,
            f"another instance decodes normal numbers times {scale:g} with a squared error of {error:.3g}, "
            f"{MANY} times its bound is {most:.3g}",
        )


def check_adding(make: Make) -> None:
    """Requires that ``decode`` with ``add`` adds what it writes without, and that ``is_finite`` is true."""
    compressor, vector = bound(make), _normal(300)
    payload = torch.empty(compressor.payload_bytes(300), dtype=torch.uint8)
    payload = payload[: compressor.encode(vector, payload, key=7)]
    written, added = torch.full((300,), 2.0), torch.full((300,), 2.0)
    compressor.decode(payload, written)
    compressor.decode(payload, added, add=True)
    close = torch.allclose(added, written + 2, rtol=1e-6, atol=1e-6)
    require(close, "decode(add=True) does not add what decode writes")
    require(compressor.is_finite(payload, 300), "is_finite denies the payload of finite numbers")


def check_state(make: Make) -> None:
    """Requires the same bytes of the same seed and rank, and of one that goes on from ``state_dict``."""
    one, two = bound(make, seed=4, rank=2), bound(make, seed=4, rank=2)
    tensors = [_normal(3, 100, seed=number) for number in range(4)]
    for tensor in tensors[:2]:
        same = torch.equal(one.compress(tensor)[0], two.compress(tensor)[0])
        require(same, "two of one seed and rank make different payloads of one tensor")
    resumed = bound(make)
    resumed.load_state_dict(one.state_dict())
    for tensor in tensors[2:]:
        same = torch.equal(one.compress(tensor)[0], resumed.compress(tensor)[0])
        require(same, "one that goes on from state_dict() makes other payloads")


def check_randomness(make: Make) -> None:
    """Requires that seed, rank and step select other bits if the compressor is stochastic, and none if it is not.

    A compressor without random numbers may change with the step, as in a warm-up.
    """
    tensor = _normal(2000)
    base = bound(make, seed=1)
    first, second = base.compress(tensor)[0], base.compress(tensor)[0]
    others = {
        "step": second,
        "seed": bound(make, seed=2).compress(tensor)[0],
        "rank": bound(make, seed=1, rank=1).compress(tensor)[0],
    }
    for what, payload in others.items():
        same = torch.equal(first, payload)
        if base.stochastic and not (what == "rank" and base.shared_randomness):
            require(not same, f"it is called stochastic, but another {what} makes the same payload")
        elif what != "step":
            require(same, f"it is called {_fact(base)}, but another {what} makes another payload")


def check_surroundings(make: Make) -> None:
    """Requires that the input and the generators of torch, numpy and Python are left alone, and integers refused."""
    compressor, tensor = bound(make), _normal(10, 30)
    before, states = tensor.clone(), _generators()
    decoded = compressor.decompress(*compressor.compress(tensor))
    for name, was, now in zip(("torch", "numpy", "Python"), states, _generators(), strict=True):
        require(was == now, f"compressing draws from the global generator of {name}; draw from the key instead")
    decoded.zero_()
    require(torch.equal(tensor, before), "compressing changes the tensor, or what is decoded shares its memory")
    try:
        compressor.compress(torch.arange(3))
    except TypeError:
        return
    raise AssertionError("a tensor of whole numbers is compressed; leave `compress` as the base class has it")


def check_non_finite(make: Make) -> None:
    """Requires that Inf and NaN come back as Inf or NaN, and that ``is_finite`` sees them."""
    for value in (float("inf"), float("-inf"), float("nan")):
        tensor = _normal(300)
        tensor[150] = value
        compressor = bound(make)
        payload, context = compressor.compress(tensor)
        decoded = compressor.decompress(payload, context)
        require(not torch.isfinite(decoded[150]), f"{value} decodes to {float(decoded[150]):g}: it must not be hidden")
        seen = not compressor.is_finite(payload.view(torch.uint8), 300)
        require(seen, f"is_finite does not see {value}")


def check_hostile_payloads(make: Make) -> None:
    """Requires that payloads of any content decode to something, or raise ValueError, within the vector."""
    compressor, numbers = bound(make), np.random.default_rng(0)
    payload = compressor.compress(_normal(700))[0].view(torch.uint8).numpy()
    for trial in range(60):
        hostile = payload.copy()
        if trial % 3 == 0:
            hostile[:] = numbers.integers(0, 256, len(hostile))
        elif trial % 3 == 1:
            hostile[: numbers.integers(1, 64)] = 0xFF
        else:
            hostile[numbers.integers(0, len(hostile), 8)] ^= 1 << int(numbers.integers(8))
        whole = torch.full((700 + 2 * GUARD,), 123.0)
        try:
            compressor.decode(torch.from_numpy(hostile), whole[GUARD:-GUARD])
        except ValueError:
            pass  # a checksum, or a value that cannot be
        except Exception as error:
            raise AssertionError(f"a damaged payload raises {type(error).__name__}, not ValueError: {error}") from error
        untouched = (whole[:GUARD] == 123).all() and (whole[-GUARD:] == 123).all()
        require(untouched, "a damaged payload writes outside of the vector")


def check_exchange(make: Make) -> None:
    """Requires the same mean on three ranks, with an error that is not above that of single vectors."""
    vectors = torch.stack([_normal(1000, seed=rank) for rank in range(3)])
    name = EXCHANGES[make().reduction]
    means = inprocess.run(3, partial(_mean, make, name, vectors))
    for rank, mean in enumerate(means):
        require(torch.equal(mean, means[0]), f"{name} gives rank {rank} another mean than rank 0")
    if isinstance(make(), SummedCompressor):
        return  # its error depends on the scale
    error, bounds = _squared(means[0] - vectors.mean(0)), [bound(make).variance_bound(each) for each in vectors]
    most = MANY * sum(bounds) / 3
    require(error <= most + 1e-9, f"{name}: the mean of ranks has a squared error of {error:.3g}, above {most:.3g}")


def _mean(make: Make, name: str, vectors: Tensor, ranks: inprocess.InProcess) -> Tensor:
    compressor = make().for_rank(ranks.rank, 1, ranks.size)
    if isinstance(compressor, IntegerCompressor):
        compressor.set_scales([1.0])
    return exchange.make(name, ranks).mean(vectors[ranks.rank].clone(), compressor, "vector")


def _normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=generator(seed))


def _squared(error: Tensor) -> float:
    return float(error.double().square().sum())


def _fact(compressor: Compressor) -> str:
    return "shared_randomness" if compressor.stochastic else "not stochastic"


def _generators() -> tuple[object, ...]:
    return torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate()  # type: ignore[index]
