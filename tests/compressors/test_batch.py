"""Many pieces by one call have the bits of pieces one by one."""

import pytest
import torch

import compressors
from compressors.batch import Batch, Piece
from compressors.kernels import threads
from compressors.random import derive

CPU = torch.device("cpu")
TEXTS = (
    "minmax:bits=4",
    "minmax:bits=3,bucket_size=100,rounding=random",
    "uniform:bits=4,norm=l1",
    "uniform:bits=3,norm=linf",
    "alq:bits=3",
    "terngrad",
    "dither:bits=4",
    "rotated:bits=4",
    "rotated:bits=3,bucket_size=256",
    "rotated-dither:bits=2",
)
DTYPES = (torch.float32, torch.float16, torch.bfloat16)
SPANS = ((0, 70_000), (70_000, 70_003), (70_100, 79_999))


@pytest.fixture(params=[1, 2])
def number_of_threads(request):
    before = threads.threads()
    threads.set_threads(request.param)
    yield
    threads.set_threads(before)


def rows(count: int, dtype: torch.dtype) -> torch.Tensor:
    return torch.randn(count, 80_000, generator=torch.Generator().manual_seed(count)).to(dtype)


def laid_out(compressor, dtype, copies=1):
    """Pieces with payloads end to end, at odd addresses, and the bytes that they need."""
    pieces, place = [], 1
    for start, stop in SPANS:
        size = compressor.payload_bytes(stop - start, dtype)
        pieces.append(Piece(start, stop, start, size, tuple(place + size * copy for copy in range(copies))))
        place += copies * size
    return pieces, place + 1


@pytest.mark.usefixtures("number_of_threads")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("text", TEXTS)
def test_the_bits_are_those_of_piece_by_piece(text, dtype):
    compressor, vectors = compressors.parse(text).for_rank(1, ranks=3), rows(3, dtype)
    pieces, room = laid_out(compressor, dtype, copies=3)
    planned, plain = compressor.batch(pieces, dtype, CPU), Batch(compressor, pieces)
    assert type(planned) is not Batch
    messages = torch.zeros(2, room, dtype=torch.uint8)
    for copy, vector in enumerate(vectors):
        shifted = [piece._replace(places=piece.places[copy:]) for piece in pieces]
        for kind, buffer in zip(kinds(compressor, dtype), messages, strict=True):
            batch = kind(shifted)
            assert batch.encode(vector, buffer, derive(copy), 77)
    assert torch.equal(*messages)
    for batches in (
        (planned, plain),
        tuple(kind([piece._replace(places=piece.places[:1]) for piece in pieces]) for kind in kinds(compressor, dtype)),
    ):
        found = torch.zeros(2, 80_000, dtype=dtype)
        for batch, vector in zip(batches, found, strict=True):
            assert batch.decode(messages[0], vector)
        assert torch.equal(*found.view(torch.uint8))


def kinds(compressor, dtype):
    return (lambda pieces: compressor.batch(pieces, dtype, CPU), lambda pieces: Batch(compressor, pieces))


@pytest.mark.usefixtures("number_of_threads")
@pytest.mark.parametrize("value", [torch.nan, torch.inf, 1e38])
@pytest.mark.parametrize("text", ["minmax", "alq", "rotated"])
def test_what_is_not_finite_is_found_in_any_piece(text, value):
    compressor = compressors.parse(text)
    pieces, room = laid_out(compressor, torch.float32)
    batch, messages = compressor.batch(pieces, torch.float32, CPU), torch.zeros(room, dtype=torch.uint8)
    for place in (3, 70_001, 79_998):
        (vector,) = rows(1, torch.float32)
        assert batch.encode(vector, messages, 1, None)
        assert batch.decode(messages, vector)
        vector[place] = value
        assert not batch.encode(vector, messages, 1, None)
        assert not batch.decode(messages, vector)


def test_payloads_of_other_levels_are_refused():
    one, other = compressors.make("alq"), compressors.make("alq")
    other.set_levels([0, 0.3, 0.6, 1])
    pieces, room = laid_out(one, torch.float32)
    messages, (vector,) = torch.zeros(room, dtype=torch.uint8), rows(1, torch.float32)
    one.batch(pieces, torch.float32, CPU).encode(vector, messages, 1, None)
    with pytest.raises(ValueError, match="other levels"):
        other.batch(pieces, torch.float32, CPU).decode(messages, vector)


def test_compressors_that_write_payloads_of_their_own_are_called_piece_by_piece():
    class Negated(compressors.MinMax):
        def write(self, vector, *arguments):
            return super().write(-vector, *arguments)

    for compressor in (Negated(), compressors.make("sign"), compressors.make("natural")):
        assert type(compressor.batch([Piece(0, 5, 0, 8, (0,))], torch.float32, CPU)) is Batch
    for dtype, device in ((torch.float64, "cpu"), (torch.float32, "meta")):
        assert type(compressors.make("minmax").batch([], dtype, torch.device(device))) is Batch
