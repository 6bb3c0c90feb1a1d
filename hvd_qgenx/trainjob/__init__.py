"""TrainJobs of Kubeflow Trainer and their runtimes: written from a few settings, and any of them checked strictly."""

from hvd_qgenx.trainjob.check import check, is_ours, is_runtime
from hvd_qgenx.trainjob.manifest import KIND, LAUNCHERS, RUNTIMES, TORCH, manifests
from hvd_qgenx.trainjob.rules import COMMAND, folder_findings, joined
from hvd_qgenx.trainjob.training import Training

__all__ = [
    "COMMAND",
    "KIND",
    "LAUNCHERS",
    "RUNTIMES",
    "TORCH",
    "Training",
    "check",
    "folder_findings",
    "is_ours",
    "is_runtime",
    "joined",
    "manifests",
]
