"""Log messages of the package and warnings of Python, printed on standard error."""

import logging
import warnings

import click


class EchoHandler(logging.Handler):
    """Prints records as ``Warning: ...``."""

    def emit(self, record: logging.LogRecord) -> None:
        click.echo(f"{record.levelname.capitalize()}: {record.getMessage()}", err=True)


def show_warning(message: Warning | str, *_: object, **__: object) -> None:
    """Prints a warning without its place in the code, which tells users nothing and stays in logs and reports."""
    click.echo(f"Warning: {message}", err=True)


def print_logs() -> None:
    """Prints the package's warnings from now on."""
    warnings.showwarning = show_warning
    logger = logging.getLogger("hvd_qgenx")
    if not any(isinstance(handler, EchoHandler) for handler in logger.handlers):
        logger.addHandler(EchoHandler())
        logger.propagate = False
