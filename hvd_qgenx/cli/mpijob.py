"""hvd-qgenx mpijob"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from hvd_qgenx import mpijob as jobs
from hvd_qgenx.cli import manifests
from hvd_qgenx.cli.manifests import FAILURES, RANKS, SECTIONS, Recording, setting
from hvd_qgenx.cli.session import exit_codes


class Range(click.ParamType):  # type: ignore[type-arg]
    """Two whole numbers with a colon between."""

    name = "range"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        least, _, most = str(value).partition(":")
        if not (least.isdecimal() and most.isdecimal() and 1 <= int(least) <= int(most)):
            self.fail(f"{value!r} is not of the form MIN:MAX, like 2:3.", param, ctx)
        return int(least), int(most)


@click.command(cls=Recording, sections=SECTIONS, context_settings={"allow_interspersed_args": False})
@manifests.job_options
@setting("--workers", "Pods with ranks.", RANKS, type=click.IntRange(1))
@setting(
    "--slots", "Ranks on each worker.  [default: one for each GPU]", RANKS, type=click.IntRange(1), show_default=False
)
@manifests.resource_options
@setting("--ttl", "Seconds for which a finished job is kept.", FAILURES, type=click.IntRange(0))
@manifests.deadline_option
@setting(
    "--elastic",
    "MIN:MAX ranks: continue when workers are lost or come back.",
    FAILURES,
    type=Range(),
    show_default=False,
)
@manifests.stopping_options
@manifests.file_options
def mpijob(
    command: tuple[str, ...], out: Path | None, files: Sequence[Any], definitions: Sequence[Any], **values: Any
) -> None:
    """Write the manifest of a job for Kubeflow's MPI operator, or check any.

    \b
    Examples:
      hvd-qgenx mpijob --workers 3 -- gan --updates 500 | kubectl apply -f -
      hvd-qgenx mpijob --name uq4 --gpus 1 --data-claim datasets --out uq4.yaml -- gan --preset uq4
      hvd-qgenx mpijob --elastic 2:3 -- gan --commit-every 20
      hvd-qgenx mpijob --check uq4.yaml

    COMMAND is what every rank runs, without the name of this program. It is parsed before anything is
    written, so a manifest holds no misspelt option. Training gets a folder of its own on the runs' volume
    and goes on there when the job is begun again.

    With --check, every finding is one line, and the exit code is 2 if there is an error. Fields that a
    cluster would drop are errors: those of MPIJob v2beta1 are known, and --crd replaces them.
    """
    with exit_codes():
        manifests.run(lambda job: [jobs.manifest(job)], values, command, out, files, definitions)
