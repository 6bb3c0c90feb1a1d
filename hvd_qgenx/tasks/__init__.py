"""What can be trained: a folder for each task, with its models, losses and scores."""
