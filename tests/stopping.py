"""Stops training where a test wants it."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from hvd_qgenx.training.trainer import Trainer


@contextmanager
def stopped_before(monkeypatch: pytest.MonkeyPatch, move: int) -> Iterator[None]:
    """Inside, training is interrupted, as by Ctrl-C, just before this move."""
    advance = Trainer.advance

    def interrupted(self, **options):
        if self.move == move:
            raise KeyboardInterrupt
        advance(self, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "advance", interrupted)
        yield
