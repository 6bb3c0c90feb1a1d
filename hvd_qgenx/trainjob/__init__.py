"""TrainJobs of Kubeflow Trainer and their runtimes: written from a few settings, and any of them checked strictly."""

from hvd_qgenx.trainjob.check import check, is_ours, is_runtime
from hvd_qgenx.trainjob.manifest import KIND, LAUNCHERS, RUNTIMES, manifests
from hvd_qgenx.trainjob.training import Training, joined

__all__ = ["KIND", "LAUNCHERS", "RUNTIMES", "Training", "check", "is_ours", "is_runtime", "joined", "manifests"]
