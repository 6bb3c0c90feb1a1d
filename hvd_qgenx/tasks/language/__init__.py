"""Language models: recurrent networks and Transformers on words and characters."""
