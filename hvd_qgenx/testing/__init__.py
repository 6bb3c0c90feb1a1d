"""Checks of a user's own parts, to be called from tests: each raises AssertionError with a sentence.

>>> import compressors
>>> from hvd_qgenx.testing import check_compressor
>>> check_compressor(lambda: compressors.make("minmax", bits=4))
"""

from typing import TYPE_CHECKING

from hvd_qgenx.exports import lazy

__all__ = ["check_compressor", "check_game", "check_loss", "check_model", "check_topology"]

if TYPE_CHECKING:
    from hvd_qgenx.testing.compressor import check_compressor
    from hvd_qgenx.testing.game import check_game
    from hvd_qgenx.testing.loss import check_loss
    from hvd_qgenx.testing.model import check_model
    from hvd_qgenx.testing.topology import check_topology
else:
    __getattr__ = lazy(__name__, {name: f"hvd_qgenx.testing.{name.removeprefix('check_')}" for name in __all__})
