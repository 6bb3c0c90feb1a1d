"""One training loop for every task: settings, presets, launch, resume, checkpoints, logs."""
