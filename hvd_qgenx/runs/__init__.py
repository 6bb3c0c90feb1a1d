"""The folder of a run: configuration, metrics, samples, checkpoint, summary, or how it diverged."""

from hvd_qgenx.runs import checkpoint, figures
from hvd_qgenx.runs.divergence import Divergence
from hvd_qgenx.runs.folder import RunFolder
from hvd_qgenx.runs.log import MetricsLog

__all__ = ["Divergence", "MetricsLog", "RunFolder", "checkpoint", "figures"]
