"""How a rank that alone has failed ends the others, under the real horovodrun."""

import sys

import pytest

from tests import launch

ALONE = """
import torch
from hvd_qgenx.cli.session import exit_codes
from hvd_qgenx.errors import LocalError
with exit_codes() as session:
    transport = session.initialize(None, None)
    ordered = transport.ordered("first")
    if transport.rank == 1:
        raise {error}
    ordered.all_gather(torch.zeros(5), [5, 5], "that rank 1 never joins").wait()
"""

pytestmark = pytest.mark.horovod


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        ('LocalError("an image cannot be read")', "Error: an image cannot be read"),
        ('OSError(28, "No space left on device", "metrics.csv")', "Error: metrics.csv: No space left on device"),
        ("RuntimeError('a mistake')", "RuntimeError: a mistake"),
    ],
)
def test_others_do_not_wait_for_it(error, sentence):
    command = launch.horovodrun(2, sys.executable, "-c", ALONE.format(error=error))
    done = launch.run(command, HOROVOD_STALL_CHECK_DISABLE="1")  # nothing else ends them
    assert done.returncode == 1, done.stderr
    assert launch.untagged(done.stderr).count(sentence) == 1
