"""What is printed of warnings."""

import logging
import subprocess
import sys
import warnings

from hvd_qgenx.cli.log import print_logs


def test_a_warning_is_a_sentence_without_its_place_in_the_code(capsys):
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        print_logs()
        warnings.warn("dcd is made for unbiased compressors", stacklevel=1)
        warnings.warn("an old option", DeprecationWarning, stacklevel=1)
    assert capsys.readouterr().err == "Warning: dcd is made for unbiased compressors\nWarning: an old option\n"


def test_a_log_message_is_printed_once_for_a_command(capsys):
    log = logging.getLogger("hvd_qgenx.transport")
    for _ in range(2):
        print_logs()
        log.warning("gradients are exchanged a second time")
        log.warning("gradients are exchanged a second time")
    assert capsys.readouterr().err == "Warning: gradients are exchanged a second time\n" * 2


def test_warnings_reach_a_program_that_configures_no_logging():
    code = "import logging, hvd_qgenx; {}; logging.getLogger('hvd_qgenx.optim').warning('a second time')"
    for asked, said in (
        ("pass", "a second time\n"),
        ("logging.basicConfig()", "WARNING:hvd_qgenx.optim:a second time\n"),
    ):
        command = [sys.executable, "-c", code.format(asked)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        assert done.stderr == said
