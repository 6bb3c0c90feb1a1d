"""Scores of saved language models."""

import functools

from hvd_qgenx.tasks.language.settings import LanguageConfig
from hvd_qgenx.tasks.language.task import LanguageTask
from hvd_qgenx.training.single_model import saved

evaluate_runs = functools.partial(saved.evaluate_runs, LanguageTask, LanguageConfig)
