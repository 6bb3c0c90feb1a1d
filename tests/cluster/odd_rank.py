"""Trains as ``hvd-qgenx`` does, but rank 1 does something odd before an update: odd_rank.py nan|hang UPDATE gan ...

``nan`` gives it images that are not numbers, ``hang`` lets its training wait for ever, while its other threads go on.
"""

import sys
import threading
from typing import Any

from hvd_qgenx.cli import main
from hvd_qgenx.tasks.gan.losses import Batch
from hvd_qgenx.training.trainer import Trainer

what, update = sys.argv[1], int(sys.argv[2])
draw = Trainer._draw_batch


def odd(self: Any) -> Batch:
    """A batch of images, or of NaN, or none."""
    batch = draw(self)
    if self.transport.rank == 1 and self.updates >= update:
        if what == "hang":
            threading.Event().wait()
        return batch._replace(real=batch.real * float("nan"))
    return batch


Trainer._draw_batch = odd  # type: ignore[method-assign]
sys.argv[:] = ["hvd-qgenx", *sys.argv[3:]]
main()
