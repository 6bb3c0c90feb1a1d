"""Scores of saved autoencoders."""

import functools

from hvd_qgenx.tasks.vae.settings import VaeConfig
from hvd_qgenx.tasks.vae.task import VaeTask
from hvd_qgenx.training.single_model import saved

evaluate_runs = functools.partial(saved.evaluate_runs, VaeTask, VaeConfig)
