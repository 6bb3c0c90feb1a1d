"""Jobs of Kubeflow's MPI operator: manifests written from a few settings, and any manifest checked strictly."""

from hvd_qgenx.mpijob.check import check, is_job
from hvd_qgenx.mpijob.files import dump, load
from hvd_qgenx.mpijob.finding import ERROR, WARNING, Finding
from hvd_qgenx.mpijob.job import RUNS, Job
from hvd_qgenx.mpijob.manifest import KIND, manifest

__all__ = ["ERROR", "KIND", "RUNS", "WARNING", "Finding", "Job", "check", "dump", "is_job", "load", "manifest"]
