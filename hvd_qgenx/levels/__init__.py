"""Level sets compared on one source of gradients: errors, bounds, bits, and a picture."""
