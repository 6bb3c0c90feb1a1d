"""Tasks that train one model to lower one loss, counted in epochs: what they share."""
