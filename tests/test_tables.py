"""Tables as plain text."""

from pathlib import Path

from rich.table import Table

from hvd_qgenx.tables import drawn

ROOT = Path(__file__).parents[1]


def test_a_table_is_plain_text():
    table = Table(title="a title longer than the table", caption="and a caption that takes two lines")
    table.add_column("name")
    table.add_column("value", justify="right")
    table.add_row("[bold]", "1")
    table.add_row("x", "10.5")
    assert drawn(table, 30) == (
        "a title longer than the table\n"
        "name    value\n"
        "[bold]      1\n"
        "x        10.5\n"
        "and a caption that takes two\n"
        "lines\n"
    )


def test_every_table_is_drawn_so():
    """One that is printed otherwise would have lines around its cells, which a launcher cuts."""
    texts = {path: path.read_text() for path in (ROOT / "hvd_qgenx").rglob("*.py")}
    with_tables = {path for path, text in texts.items() if "from rich.table import" in text}
    assert len(with_tables) > 5
    assert not [path for path in with_tables if "drawn(" not in texts[path]]
