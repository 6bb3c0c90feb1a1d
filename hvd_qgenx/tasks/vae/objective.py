"""The loss of an autoencoder on a batch, and its terms."""

from torch import Tensor

from hvd_qgenx.tasks.vae.divergence import Parts, decompose, divergence, estimate
from hvd_qgenx.tasks.vae.models.autoencoder import Posterior
from hvd_qgenx.tasks.vae.registry import BETA_TC, ELBO

TERMS = ("loss", "reconstruction", "kl")
"""The sums of ``terms`` that every objective has."""
PARTS = {ELBO: (), BETA_TC: Parts._fields}
"""The parts of ``kl`` among them, by objective."""


def terms(
    objective: str, weight: float, reconstruction: Tensor, codes: Tensor, posterior: Posterior, samples: int
) -> dict[str, Tensor]:
    """Returns the loss and what it consists of, each a sum over the images of a batch, in nats.

    Args:
        objective: one of ``registry.OBJECTIVES``.
        weight: of the divergence with ``elbo``, of the total correlation with ``beta-tc``.
        reconstruction: -log p(x|z) of every image.
        codes: one for every image.
        posterior: of the images.
        samples: number of images of the data set.
    """
    likelihood = reconstruction.sum()
    if objective == BETA_TC:
        parts = Parts(*(part.sum() for part in decompose(codes, posterior, samples)))
        kl, extra = estimate(codes, posterior).sum(), parts._asdict()
        weighted = kl + (weight - 1) * parts.total_correlation
    else:
        kl, extra = divergence(posterior).sum(), {}
        weighted = weight * kl
    return {"loss": likelihood + weighted, "reconstruction": likelihood, "kl": kl, **extra}
