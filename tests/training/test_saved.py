"""What is read of earlier runs, of any task."""

import functools
from pathlib import Path

import pytest

from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.runs import RunFolder, checkpoint
from hvd_qgenx.tasks.classify.settings import ClassifyConfig
from hvd_qgenx.tasks.classify.task import ClassifyTask
from hvd_qgenx.tasks.gan.saved import SavedRun
from hvd_qgenx.tasks.gan.settings import GanConfig
from hvd_qgenx.training.single_model.saved import SavedModel

READERS = {
    "gan": (GanConfig, SavedRun.read),
    "classify": (ClassifyConfig, functools.partial(SavedModel.read, task=ClassifyTask, config=ClassifyConfig)),
}


@pytest.fixture(params=READERS)
def task(request):
    return request.param


@pytest.fixture
def folder(tmp_path: Path, task: str) -> RunFolder:
    folder = RunFolder(tmp_path)
    folder.create({**READERS[task][0]().as_dict(), "task": task})
    return folder


def test_a_run_without_a_checkpoint_is_refused(folder, task):
    with pytest.raises(ConfigurationError, match=r"there is no checkpoint .* stopped before its first one"):
        READERS[task][1](folder.path)


def test_a_run_of_another_task_is_refused(folder, task):
    (other,) = READERS.keys() - {task}
    with pytest.raises(ConfigurationError, match=f"is a run of hvd-qgenx {task}, not {other}"):
        READERS[other][1](folder.path)


def test_a_checkpoint_of_another_version_is_refused(folder, task):
    checkpoint.save(folder.checkpoint, f"hvd-qgenx {task}", {"move": 3, "images": {}})
    with pytest.raises(ConfigurationError, match=r"written by another version: it lacks .*averages"):
        READERS[task][1](folder.path)
