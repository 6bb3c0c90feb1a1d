"""The folder of a run: configuration, metrics, samples, checkpoint, summary."""

from hvd_qgenx.runs import checkpoint, figures
from hvd_qgenx.runs.folder import RunFolder
from hvd_qgenx.runs.log import MetricsLog

__all__ = ["MetricsLog", "RunFolder", "checkpoint", "figures"]
