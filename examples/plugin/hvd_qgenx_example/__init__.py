"""A compressor and a game for hvd-qgenx; ``--plugin hvd_qgenx_example`` registers them without an installation."""

from hvd_qgenx_example import logarithmic, rock_paper_scissors

__all__ = ["logarithmic", "rock_paper_scissors"]
__version__ = "1.0"
