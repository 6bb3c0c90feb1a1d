"""Scores of saved classifiers."""

import functools

from hvd_qgenx.tasks.classify.settings import ClassifyConfig
from hvd_qgenx.tasks.classify.task import ClassifyTask
from hvd_qgenx.training.single_model import saved

evaluate_runs = functools.partial(saved.evaluate_runs, ClassifyTask, ClassifyConfig)
