"""Language models, by name in ``registry``."""
