"""The names of norms of feature maps."""

NORMS = ("batch", "group", "layer")
