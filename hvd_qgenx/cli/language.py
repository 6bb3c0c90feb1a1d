"""hvd-qgenx language"""

from hvd_qgenx.cli.training import training_command
from hvd_qgenx.tasks.registry import TASKS


@training_command(TASKS["language"])
def language() -> None:
    """Train a language model; gradients are averaged over ranks, compressed.

    \b
    Examples:
      hvd-qgenx language
      horovodrun -np 3 -H localhost:3 hvd-qgenx language --compressor intsgd --bits 4 --coding huffman
      hvd-qgenx language --dataset folder --data-dir my-text --model transformer --optimizer adamw
      horovodrun -np 3 -H a:1,b:1,c:1 hvd-qgenx language --preset small-powersgd --download
      hvd-qgenx language --resume runs/language-20260101-120000 --epochs 20

    The run's folder gets config.json, metrics.csv, scores.csv (perplexity on the test and validation
    texts), TensorBoard events, a checkpoint and summary.json. A run goes on bit for bit with --resume.
    """
