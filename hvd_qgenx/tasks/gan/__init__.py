"""The task ``gan``: settings, models, losses, scores and samples of generative adversarial networks."""
