"""Log messages of the package and warnings of Python, printed on standard error."""

import logging
import warnings

import click


class EchoHandler(logging.Handler):
    """Prints records as ``Warning: ...``, and what was printed already only once, as Python does with warnings."""

    def __init__(self) -> None:
        super().__init__()
        self._printed: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        text = f"{record.levelname.capitalize()}: {record.getMessage()}"
        if text not in self._printed:
            self._printed.add(text)
            click.echo(text, err=True)


def show_warning(message: Warning | str, *_: object, **__: object) -> None:
    """Prints a warning without its place in the code, which tells users nothing and stays in logs and reports."""
    click.echo(f"Warning: {message}", err=True)


def print_logs() -> None:
    """Prints the package's warnings from now on, each once, also if they were printed for an earlier command."""
    warnings.showwarning = show_warning
    logger = logging.getLogger("hvd_qgenx")
    logger.handlers = [handler for handler in logger.handlers if not isinstance(handler, EchoHandler)]
    logger.addHandler(EchoHandler())
    logger.propagate = False
