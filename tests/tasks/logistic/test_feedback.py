"""Shifts, error feedback, and top-k."""

import numpy as np
import pytest
import torch

from hvd_qgenx.tasks.logistic.averaging import Exact, Iteration
from hvd_qgenx.tasks.logistic.feedback import Memory, Shifted
from hvd_qgenx.tasks.logistic.rounding import Natural
from hvd_qgenx.tasks.logistic.top_k import TopK, kept_of
from hvd_qgenx.tasks.logistic.workers import Workers
from hvd_qgenx.transport import inprocess

SEQUENCE = torch.randn(8, 3, 25, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
STEP = torch.full((25,), 0.1, dtype=torch.float64)


def averaging(kind):
    return kind(Workers(3, inprocess.InProcess()), 25, 0)


def outcomes(averaging):
    return [averaging.mean(vectors, Iteration(k, 1.0, STEP)) for k, vectors in enumerate(SEQUENCE)]


def largest(vectors, k=2):
    """Each row with all but its k largest magnitudes set to 0, by numpy."""
    kept = np.zeros_like(vectors)
    for row, places in enumerate(np.argsort(-np.abs(vectors), axis=1)[:, :k]):
        kept[row, places] = vectors[row, places]
    return kept


def test_top_k_keeps_the_largest_magnitudes():
    found = averaging(TopK).mean(SEQUENCE[0], Iteration(0, 1.0, STEP))
    assert found.sent.numpy().tolist() == largest(SEQUENCE[0].numpy()).tolist()
    torch.testing.assert_close(found.mean, found.sent.mean(0))
    assert found.bytes_sent == 2 * 2 * 12
    assert [kept_of(d) for d in (1, 19, 20, 122)] == [1, 1, 2, 12]


def test_top_k_of_equal_magnitudes():
    sent = averaging(TopK).mean(torch.ones(3, 25, dtype=torch.float64), Iteration(0, 1.0, STEP)).sent
    assert sent.nonzero()[:, 1].tolist() == [0, 1] * 3


def test_error_feedback_by_the_book():
    errors = np.zeros((3, 25))
    for vectors, found in zip(SEQUENCE.numpy(), outcomes(Memory(averaging(TopK))), strict=True):
        sent = largest(errors + vectors)
        errors = errors + vectors - sent
        assert found.sent.numpy() == pytest.approx(sent)
        assert found.mean.numpy() == pytest.approx(sent.mean(0))


def test_ef21_by_the_book():
    """g_i <- g_i + C(grad_i - g_i)."""
    estimates = np.zeros((3, 25))
    for vectors, found in zip(SEQUENCE.numpy(), outcomes(Shifted(averaging(TopK), 1.0)), strict=True):
        estimates = estimates + largest(vectors - estimates)
        assert found.sent.numpy() == pytest.approx(estimates)
        assert found.mean.numpy() == pytest.approx(estimates.mean(0))


@pytest.mark.parametrize("rate", [1.0, 0.5])
def test_shifts_around_an_exact_mean_change_nothing(rate):
    for vectors, found in zip(SEQUENCE, outcomes(Shifted(averaging(Exact), rate)), strict=True):
        torch.testing.assert_close(found.sent, vectors)
        torch.testing.assert_close(found.mean, vectors.mean(0))


def test_shifts_approach_vectors_that_stay_by_their_rate():
    """With rate 1/2 and compression without bias, differences, and so the errors, vanish."""
    shifted, vectors = Shifted(averaging(Natural), 0.5), SEQUENCE[0]
    errors = [shifted.mean(vectors, Iteration(k, 1.0, STEP)).mean - vectors.mean(0) for k in range(80)]
    assert errors[-1].abs().max() < 1e-10
