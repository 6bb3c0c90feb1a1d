"""Small games with known solutions, played through the same optimizers and exchanges as GANs."""
