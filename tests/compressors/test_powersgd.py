"""PowerSGD: factors by hand, projections, warm start."""

import pytest
import torch

import compressors
from compressors.powersgd import orthonormal
from hvd_qgenx import exchange
from hvd_qgenx.exchange import ExchangeOptions
from hvd_qgenx.exchange.codec import Codec
from hvd_qgenx.transport import inprocess

SHAPES = [(16, 3, 3, 3), (30,), (40, 20), (2, 2), (16, 27), (40, 20)]
NUMEL = sum(map(compressors.base.numel, SHAPES))


def make(**values) -> compressors.PowerSGD:
    compressor = compressors.make("powersgd", **values)
    compressor.lay_out(SHAPES)
    return compressor


def vectors(ranks: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(ranks, NUMEL, generator=torch.Generator().manual_seed(seed))


def matrices(vector: torch.Tensor) -> list[torch.Tensor]:
    parts = vector.split([compressors.base.numel(shape) for shape in SHAPES])
    return [part.view(shape[0], -1) for part, shape in zip(parts, SHAPES, strict=True)]


def exchanged(rows: torch.Tensor, steps: int = 1, **values):
    """(means of all steps, this rank's vectors as compressed, transfer) of every rank."""

    def work(transport):
        compressor = make(**values).for_rank(transport.rank, 3, transport.size)
        codec = Codec([(compressor, NUMEL)], rows.dtype)
        how = exchange.make("auto", transport).resolve(codec)
        means, owns = [], []
        for _ in range(steps):
            vector = rows[transport.rank].clone()
            transfer = how.begin(vector, codec, "x", ExchangeOptions(keep_own=True), torch.empty_like(vector))
            means.append(how.compute_mean(transfer))
            owns.append(transfer.own)
        return means, owns, transfer

    return inprocess.run(len(rows), work)


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_means_are_those_of_what_ranks_compressed(ranks):
    rows = vectors(ranks)
    found = exchanged(rows, steps=3)
    for means, _, transfer in found:
        assert transfer.finite
        for step in range(3):
            assert torch.equal(means[step], found[0][0][step])
            own = torch.stack([owns[step] for _, owns, _ in found]).mean(0)
            torch.testing.assert_close(means[step], own, rtol=1e-5, atol=1e-5)


def test_the_first_step_is_the_projection_on_the_columns_of_p():
    rows = vectors(3)
    ((mean, *_), _, _), *_ = exchanged(rows, matrix_rank=2)
    average = matrices(rows.mean(0))
    for found, matrix, shape in zip(matrices(mean), average, SHAPES, strict=True):
        if len(shape) < 2 or shape == (2, 2):
            torch.testing.assert_close(found, matrix)
        else:
            assert torch.linalg.matrix_rank(found, tol=1e-4) == 2
            basis = torch.linalg.svd(found.double())[0][:, :2]
            torch.testing.assert_close(found.double(), basis @ basis.mT @ matrix.double(), rtol=1e-4, atol=1e-5)


def test_warm_start_finds_the_best_approximation():
    """Power iteration over steps of one gradient: the error falls to that of the truncated SVD."""
    rows = vectors(1)
    means, _, _ = exchanged(rows, steps=60, matrix_rank=4)[0]
    matrix, first, last = (matrices(each)[2] for each in (rows[0], means[0], means[-1]))
    best = float(torch.linalg.svdvals(matrix)[4:].square().sum())
    assert float((first - matrix).square().sum()) > 1.1 * best
    assert float((last - matrix).square().sum()) < 1.01 * best


def test_bytes_are_those_of_the_factors():
    compressor = make()
    exact, left, right = 30 + 4, 2 * 16 * 4 + 2 * 40 * 4, 2 * 27 * 4 + 2 * 20 * 4
    assert compressor.payload_bytes(NUMEL) == 4 * (exact + left + right)
    _, _, transfer = exchanged(vectors(3))[0]
    assert transfer.report.bytes_sent == 2 * 2 * 4 * (exact + left) // 3 + 2 * 2 * 4 * right // 3


def test_one_rank_alone_encodes_what_it_exchanges():
    rows = vectors(1)
    compressor = make().for_rank(0, 3)
    payload = torch.empty(compressor.payload_bytes(NUMEL), dtype=torch.uint8)
    decoded = torch.ones(NUMEL)
    compressor.encode(rows[0], payload, 0)
    compressor.decode(payload, decoded, add=True)
    torch.testing.assert_close(decoded - 1, exchanged(rows)[0][0][0], rtol=1e-5, atol=1e-5)


def test_zero_gradients_do_not_end_learning():
    """A right factor of zeros would stay so."""
    rows = vectors(1)

    def work(transport):
        compressor = make().for_rank(0)
        how = exchange.make("auto", transport)
        assert not how.mean(torch.zeros(NUMEL), compressor, "x").any()
        return how.mean(rows[0], compressor, "x")

    (mean,) = inprocess.run(1, work)
    assert all(matrix.any() for matrix in matrices(mean))


def test_inf_is_reported_and_leaves_no_trace():
    rows = vectors(3)
    broken = rows.clone()
    broken[1, 5] = torch.inf

    def work(transport):
        compressor = make().for_rank(transport.rank, 3, 3)
        codec = Codec([(compressor, NUMEL)], rows.dtype)
        how = exchange.make("rounds", transport).resolve(codec)
        transfer = how.begin(broken[transport.rank].clone(), codec, "x")
        how.compute_mean(transfer)
        again = how.begin(rows[transport.rank].clone(), codec, "x")
        return transfer.finite and transfer.out.isfinite().any(), transfer.not_finite, how.compute_mean(again)

    for rank, (finite, places, mean) in enumerate(inprocess.run(3, work)):
        assert not finite
        assert places == ([5] if rank == 1 else [])
        torch.testing.assert_close(mean, exchanged(rows)[0][0][0])


def test_state_goes_on():
    tensor = torch.randn(30, 50, generator=torch.Generator().manual_seed(1))
    first, second = compressors.make("powersgd"), compressors.make("powersgd", seed=9)
    first.compress(tensor)
    second.load_state_dict(first.state_dict())
    assert torch.equal(first.compress(tensor)[0], second.compress(tensor)[0])


def test_a_matrix_comes_back_as_a_projection():
    tensor = torch.randn(30, 5, 10, generator=torch.Generator().manual_seed(1))
    compressor = compressors.make("powersgd", matrix_rank=3)
    decoded = compressor.decompress(*compressor.compress(tensor))
    assert decoded.shape == tensor.shape
    assert float((decoded - tensor).square().sum()) < compressor.variance_bound(tensor)
    assert compressor.compress(tensor)[0].nbytes == compressor.payload_bytes(tensor.shape) == 4 * 3 * 80


def test_orthonormal_bases():
    stack = torch.randn(4, 50, 5, generator=torch.Generator().manual_seed(1))
    stack[1, :, 3] = stack[1, :, 0] - 2 * stack[1, :, 1]
    stack[2] = 0
    basis = orthonormal(stack)
    gram = basis.mT @ basis
    expected = torch.eye(5).repeat(4, 1, 1)
    expected[1, 3, 3] = 0
    expected[2] = 0
    torch.testing.assert_close(gram, expected, rtol=0, atol=1e-5)
