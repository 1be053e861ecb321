"""Draw how flat the solutions of weight averaging and of sharpness-aware minimisation are, at an equal budget.

One panel a statistic. Each faint line is a seed, whose solutions share their initialisation; diamonds are means over
seeds, bars the bootstrap interval of the mean. The first column, trained for a fraction of the budget, is where
weight averaging began.
"""

import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from wedgescape.analysis.flatness import gather, paired_differences
from wedgescape.figures import style
from wedgescape.figures.publish import interval_settings, publish
from wedgescape.numerics.intervals import bootstrap_mean
from wedgescape.provenance.frame import job
from wedgescape.stores.zarr_stores import open_points

LABELS = {"base": "base\npoint", "longer": "one\nsolution", "swa": "weight\naverage", "sam": "sharp-\naware"}
PANELS = {
    "angular_width": "angular width (degrees)",
    "top_eigenvalue": "top eigenvalue (nats / weight²)",
    "trace": "trace (nats / weight²)",
    "large_scale": "large-scale curvature (nats / rad²)",
    "norm": "norm of the weights",
    "test_error": "test error",
}
COLOURS = {"base": style.FAINT, **style.METHODS}
LOGARITHMIC = ("top_eigenvalue", "trace")


def draw(data: xr.Dataset, confidence: float, resamples: int) -> Figure:
    """Draw the figure.

    Args:
        data: of `flatness.gather`.
        confidence: of the interval.
        resamples: of the bootstrap.
    """
    figure, axes = style.panels(2, 3, style.TWO_COLUMNS, 4.2)
    for panel, letter, (name, label) in zip(axes.flat, "abcdef", PANELS.items(), strict=True):
        _draw_panel(panel, data[name], confidence, resamples)
        panel.set_ylabel(label)
        style.title(panel, letter)
        if name in LOGARITHMIC and float(data[name].min()) > 0:
            style.log_axis(panel)
    return figure


def _draw_panel(axes: Axes, values: xr.DataArray, confidence: float, resamples: int) -> None:
    methods = values["method"].values.tolist()
    positions = style.value_axis(axes, [LABELS[method] for method in methods])
    axes.plot(positions, values.transpose("method", "seed").values, color=style.FAINT, linewidth=0.5, zorder=1)
    for position, method in zip(positions, methods, strict=True):
        seen = values.sel({"method": method}).values
        mean = bootstrap_mean(seen, confidence, resamples)
        colour = COLOURS[method]
        style.dots(axes, [position], seen[None], colour, spread=0)
        style.intervals(axes, [position], [mean.estimate], [mean.low], [mean.high], colour, shift=5)


if __name__ == "__main__":
    with job(snakemake):
        methods = {point: method for method, point in snakemake.params.job["methods"].items()}
        tunnels, curvature = (
            {methods[point]: store for point, store in open_points(snakemake.input[measurement]).items()}
            for measurement in ("tunnels", "curvature")
        )
        data, intervals = gather(tunnels, curvature), interval_settings(snakemake)
        publish(snakemake, draw(data, **intervals), paired_differences(data, **intervals))
