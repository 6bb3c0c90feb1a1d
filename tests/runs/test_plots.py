"""Plots: legends leave the panels their room."""

import warnings

import pytest
from matplotlib import pyplot as plt
from PIL import Image

from hvd_qgenx.runs import plots


@pytest.mark.parametrize(
    ("count", "label", "columns", "width"),
    [
        (1, "short", 1, 6.0),
        (30, "short", 4, 16.8),
        (30, "a label of eight words and more, on two lines", 1, 6.0),
        (9, "minmax:bits=4,bucket_size=64,norm=l2", 3, 12.6),
    ],
)
def test_a_legend_lies_within_the_figure_and_leaves_the_panels_their_room(tmp_path, count, label, columns, width):
    figure, grid = plt.subplots(1, columns, figsize=(width, 3.5), layout="constrained", squeeze=False)
    for number in range(count):
        for panel in grid.flat:
            panel.plot([1, 2], [number, 1], label=f"{label} {number}")
    shown = plots.entries(grid.flat)
    assert len(shown) == count
    plots.heighten(figure, plots.draw_legend(figure, shown, width))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a layout that fails is a warning
        figure.canvas.draw()
    legend = figure.legends[0].get_window_extent()
    assert figure.bbox.x0 <= legend.x0 < legend.x1 <= figure.bbox.x1
    assert all(panel.get_window_extent().height >= 2.4 * figure.dpi for panel in grid.flat)
    assert all(panel.get_window_extent().y1 <= legend.y0 for panel in grid.flat)
    plots.save(figure, tmp_path / "plot.png")
    assert Image.open(tmp_path / "plot.png").width == round(width * plots.DPI)
    assert figure.number not in plt.get_fignums()


def test_no_legend_of_nothing():
    figure, panels = plt.subplots()
    assert plots.draw_legend(figure, plots.entries([panels]), 6.0) == 0
    assert not figure.legends
    plt.close(figure)
