"""The presets that come with hvd-qgenx: a folder for each task, a file for each experiment."""
