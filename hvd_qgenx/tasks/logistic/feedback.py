"""Averagings that remember what compression left out."""

import torch
from torch import Tensor

from hvd_qgenx.tasks.logistic.averaging import Averaged, Averaging, Iteration


class Shifted(Averaging):
    """DIANA: every worker sends its difference to a shift, which then moves towards what was sent.

    h_i <- h_i + rate sent_i, where sent_i is g_i - h_i, compressed; all workers know the mean of the shifts
    (Mishchenko et al., "Distributed learning with compressed gradient differences", 2019). With rate 1 and a
    deterministic compression this is EF21 (Richtarik, Sokolov and Fatkhullin, NeurIPS 2021).
    """

    def __init__(self, inner: Averaging, rate: float) -> None:
        """
        Args:
            inner: averages the differences.
            rate: how far a shift moves, in parts of the difference that was sent.
        """
        super().__init__(inner.workers, inner.dimension, inner.seed)
        self._inner, self._rate = inner, rate
        self._shifts = torch.zeros(len(self.workers.own), self.dimension, dtype=torch.float64)
        self._mean_shift = torch.zeros(self.dimension, dtype=torch.float64)

    def mean(self, vectors: Tensor, iteration: Iteration) -> Averaged:
        inner = self._inner.mean(vectors - self._shifts, iteration)
        averaged = inner._replace(mean=self._mean_shift + inner.mean, sent=self._shifts + inner.sent)
        self._shifts = self._shifts.add(inner.sent, alpha=self._rate)
        self._mean_shift = self._mean_shift.add(inner.mean, alpha=self._rate)
        return averaged


class Memory(Averaging):
    """Error feedback: what compression leaves out of a worker's vector is added to its next one.

    e_i <- e_i + g_i - sent_i, where sent_i is e_i + g_i, compressed (Seide et al., Interspeech 2014).
    """

    def __init__(self, inner: Averaging) -> None:
        """
        Args:
            inner: averages the sums of vectors and errors.
        """
        super().__init__(inner.workers, inner.dimension, inner.seed)
        self._inner = inner
        self._errors = torch.zeros(len(self.workers.own), self.dimension, dtype=torch.float64)

    def mean(self, vectors: Tensor, iteration: Iteration) -> Averaged:
        corrected = self._errors + vectors
        averaged = self._inner.mean(corrected, iteration)
        self._errors = corrected - averaged.sent
        return averaged
