"""Image classifiers: their names in ``registry``, made by ``build``."""
