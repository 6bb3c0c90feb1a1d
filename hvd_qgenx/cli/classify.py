"""hvd-qgenx classify"""

from hvd_qgenx.cli.training import training_command
from hvd_qgenx.tasks.registry import TASKS


@training_command(TASKS["classify"])
def classify() -> None:
    """Train an image classifier; gradients are averaged over ranks, compressed.

    \b
    Examples:
      hvd-qgenx classify
      horovodrun -np 3 -H localhost:3 hvd-qgenx classify --dataset cifar10 --model resnet20 --epochs 3
      horovodrun -np 3 -H a:1,b:1,c:1 hvd-qgenx classify --compressor rotated --bits 4 --split dirichlet
      hvd-qgenx classify --optimizer adamw --lr 0.001 --lr-schedule cosine --warmup-epochs 1
      hvd-qgenx classify --resume runs/classify-20260101-120000 --epochs 60

    The run's folder gets config.json, metrics.csv, scores.csv (loss and accuracy on the test set),
    TensorBoard events, a checkpoint and summary.json. A run goes on bit for bit with --resume.
    """
