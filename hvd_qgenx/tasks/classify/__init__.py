"""Image classification: models, their training and their scores."""
