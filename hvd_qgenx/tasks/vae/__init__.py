"""A task that trains a variational autoencoder."""
