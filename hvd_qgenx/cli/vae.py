"""hvd-qgenx vae"""

from hvd_qgenx.cli.training import training_command
from hvd_qgenx.tasks.registry import TASKS


@training_command(TASKS["vae"])
def vae() -> None:
    """Train a variational autoencoder of images; gradients are averaged over ranks, compressed.

    \b
    Examples:
      hvd-qgenx vae
      horovodrun -np 3 -H localhost:3 hvd-qgenx vae --preset small-uq4 --data-dir ~/data
      horovodrun -np 3 -H a:1,b:1,c:1 hvd-qgenx vae --dataset celeba --model conv --likelihood gaussian
      hvd-qgenx vae --objective beta-tc --kl-weight 6 --latent 10
      hvd-qgenx vae --importance-samples 50 --frechet-samples 2500

    The run's folder gets config.json, metrics.csv, scores.csv (bounds on the likelihood of test images),
    TensorBoard events, pictures, a checkpoint and summary.json. A run goes on bit for bit with --resume.
    """
