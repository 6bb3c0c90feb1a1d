"""GAN training: models, data, losses, and the loop that exchanges both players' gradients."""
