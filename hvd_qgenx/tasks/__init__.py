"""Tasks that can be trained: a folder for each, with its models, losses and scores."""
