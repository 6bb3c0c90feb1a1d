"""Who talks to whom, and how what neighbours send becomes the next parameters."""
