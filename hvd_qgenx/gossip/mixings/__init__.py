"""Ways in which what neighbours send becomes the next parameters."""
