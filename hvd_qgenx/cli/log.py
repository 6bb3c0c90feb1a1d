"""Log messages of the package, printed on standard error."""

import logging

import click


class EchoHandler(logging.Handler):
    """Prints records as ``Warning: ...``."""

    def emit(self, record: logging.LogRecord) -> None:
        click.echo(f"{record.levelname.capitalize()}: {record.getMessage()}", err=True)


def print_logs() -> None:
    """Prints the package's warnings from now on."""
    logger = logging.getLogger("hvd_qgenx")
    if not any(isinstance(handler, EchoHandler) for handler in logger.handlers):
        logger.addHandler(EchoHandler())
        logger.propagate = False
