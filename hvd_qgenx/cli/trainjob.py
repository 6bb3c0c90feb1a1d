"""hvd-qgenx trainjob"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from hvd_qgenx import trainjob as jobs
from hvd_qgenx.cli import manifests
from hvd_qgenx.cli.manifests import JOB, RANKS, SECTIONS, Recording, setting
from hvd_qgenx.cli.sections import option
from hvd_qgenx.cli.session import exit_codes
from hvd_qgenx.trainjob.manifest import TORCH


@click.command(cls=Recording, sections=SECTIONS, context_settings={"allow_interspersed_args": False})
@option(
    ("--launcher", "launched_by"),
    "What starts ranks: torchrun on every node, or mpirun on a pod of its own.",
    JOB,
    type=click.Choice(jobs.LAUNCHERS),
    default=TORCH,
    show_default=True,
)
@manifests.job_options
@option(
    "--namespaced",
    "Write a TrainingRuntime of the job's namespace, for users who may not make a ClusterTrainingRuntime.",
    JOB,
    is_flag=True,
)
@setting("--nodes", "Pods with ranks.", RANKS, "workers", type=click.IntRange(1))
@setting(
    "--procs-per-node",
    "Ranks on each node.  [default: one for each GPU]",
    RANKS,
    "slots",
    type=click.IntRange(1),
    show_default=False,
)
@manifests.resource_options
@manifests.deadline_option
@manifests.stopping_options
@manifests.file_options
def trainjob(
    command: tuple[str, ...],
    launched_by: str,
    namespaced: bool,
    out: Path | None,
    files: Sequence[Any],
    definitions: Sequence[Any],
    **values: Any,
) -> None:
    """Write the manifests of a TrainJob for Kubeflow Trainer and of its runtime, or check any.

    \b
    Examples:
      hvd-qgenx trainjob --launcher torch --nodes 3 -- gan --updates 500 | kubectl apply -f -
      hvd-qgenx trainjob --launcher mpi --name uq4 --gpus 1 --out uq4.yaml -- gan --preset uq4
      hvd-qgenx trainjob --check uq4.yaml

    COMMAND is what every rank runs, without the name of this program. It is parsed before anything is
    written, so a manifest holds no misspelt option. Training gets a folder of its own on the runs' volume
    and goes on there when the job is begun again.

    With --check, every finding is one line, and the exit code is 2 if there is an error. A TrainJob is
    checked together with its runtime, if that is in one of the files.
    """
    with exit_codes():
        manifests.run(
            lambda job: jobs.manifests(job, launched_by, namespaced), values, command, out, files, definitions
        )
