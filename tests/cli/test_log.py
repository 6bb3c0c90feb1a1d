"""What is printed of warnings."""

import warnings

from hvd_qgenx.cli.log import print_logs


def test_a_warning_is_a_sentence_without_its_place_in_the_code(capsys):
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        print_logs()
        warnings.warn("dcd is made for unbiased compressors", stacklevel=1)
        warnings.warn("an old option", DeprecationWarning, stacklevel=1)
    assert capsys.readouterr().err == "Warning: dcd is made for unbiased compressors\nWarning: an old option\n"
