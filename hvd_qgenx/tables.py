"""Tables as plain text: the same on a terminal, in a log, and behind the tags that a launcher puts before lines."""

import io
import textwrap

from rich.console import Console
from rich.table import Table


def drawn(table: Table, width: int) -> str:
    """Returns a table as text of at most this width, its title above and its caption below, without markup.

    There are no lines between cells: box-drawing characters would be cut where a launcher divides the output of ranks.
    """
    above, below = (textwrap.wrap(str(each or ""), width) for each in (table.title, table.caption))
    table.title = table.caption = table.box = None
    table.pad_edge = False
    text = io.StringIO()
    Console(file=text, width=width, color_system=None, markup=False, emoji=False, highlight=False).print(table)
    return "".join(f"{line.rstrip()}\n" for line in (*above, *text.getvalue().splitlines(), *below))
