"""hvd-qgenx gan"""

from hvd_qgenx.cli.training import training_command
from hvd_qgenx.tasks.registry import TASKS


@training_command(TASKS["gan"])
def gan() -> None:
    """Train a GAN; both players' gradients are averaged over ranks, compressed.

    \b
    Examples:
      hvd-qgenx gan --updates 200
      horovodrun -np 3 -H localhost:3 hvd-qgenx gan --compressor minmax --bits 4
      horovodrun -np 3 -H a:1,b:1,c:1 hvd-qgenx gan --preset uq4 --data-dir ~/data
      hvd-qgenx gan --preset small-uq8 --updates 100 --show-config
      hvd-qgenx gan --resume runs/gan-20260101-120000 --updates 2000

    The run's folder gets config.json, metrics.csv, TensorBoard events, sample pictures, a
    checkpoint and summary.json. A run goes on bit for bit with --resume.
    """
