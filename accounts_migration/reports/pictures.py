"""The pictures of a report: transactions by month in both databases, defects by reason, throughput of the batches.

Here: drawing, and the two forms: SVG for the page, a small PNG for the UI. Not here: the figures
(`accounts_migration.reports.gathering`). The same figures give the same bytes: no date, no random ids, no settings of
the user. matplotlib is imported where it is needed, because that takes a second.
"""

import base64
import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from accounts_migration.entities.defects import EXCLUDED, REJECTED, REPAIRED
from accounts_migration.reports.contents import Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_IN_SOURCE, _IN_TARGET = "#c9d1dc", "#2f5d8c"
_ACTIONS = {REJECTED: "#b3402f", EXCLUDED: "#8a919c", REPAIRED: "#c48a1c"}
_MOST_LABELS = 14
_MOST_REASONS = 25
_COLOURS = 16
_STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#9aa2ad",
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": "#e8ebef",
    "text.color": "#1f2933",
    "axes.labelcolor": "#1f2933",
    "xtick.color": "#4a5562",
    "ytick.color": "#4a5562",
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "accounts_migration",
}


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture: what it shows, in words for who cannot see it, as an SVG element and as a PNG."""

    name: str
    title: str
    svg: str
    png: bytes

    def as_markdown(self) -> str:
        """Return the PNG as Markdown that needs no other file."""
        return f"![{self.title}](data:image/png;base64,{base64.b64encode(self.png).decode()})"


def draw(report: Report) -> list[Picture]:
    """Return the pictures of a report, without those that there is nothing to draw for."""
    chosen: list[tuple[str, str, bool, Callable[[Report], Figure]]] = [
        ("months", "Transactions by month: rows and amounts in source and target", bool(report.months), _months),
        ("defects", "Defects by reason", bool(report.defects), _defects),
        ("throughput", "Rows loaded per second, batch by batch", any(one.seconds for one in report.loads), _throughput),
    ]
    with _style():
        return [_picture(name, title, figure(report)) for name, title, is_wanted, figure in chosen if is_wanted]


@contextmanager
def _style() -> Iterator[None]:
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        yield


def _picture(name: str, title: str, figure: "Figure") -> Picture:
    text = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(text, format="svg", metadata=nothing, transparent=True)
    return Picture(name, title, _element(name, title, text.getvalue()), _small_png(figure))


def _small_png(figure: "Figure") -> bytes:
    """Return the picture in few colours: the UI keeps it in an event, which is to be small."""
    from PIL import Image

    drawn, small = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=80)
    Image.open(drawn).convert("RGB").quantize(_COLOURS).save(small, format="png", optimize=True)
    return small.getvalue()


def _element(name: str, title: str, svg: str) -> str:
    """Return the SVG as an element of a page: with ids of its own, a name, and as wide as there is room."""
    element = svg[svg.index("<svg") :].strip()
    element = re.sub(r'\bid="', f'id="{name}-', element)
    element = re.sub(r'(url\(#|href="#)', rf"\g<1>{name}-", element)
    return re.sub(r'<svg [^>]*?viewBox="([^"]*)"[^>]*>', _opening(title), element, count=1)


def _opening(title: str) -> str:
    spaces = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    return rf'<svg {spaces} viewBox="\1" role="img" aria-label="{title}">'


def _new_figure(height: float, panels: int = 1) -> "tuple[Figure, list[Axes]]":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.4, height), layout="constrained")
    return figure, list(figure.subplots(panels, 1, sharex=True, squeeze=False)[:, 0])


def _months(report: Report) -> "Figure":
    months = report.months
    figure, (rows, money) = _new_figure(3.4, panels=2)
    _overlaid(rows, [one.source_rows for one in months], [one.target_rows for one in months])
    # only a drawing: the exact amounts stand in the tables
    _overlaid(money, [one.source_cents / 100 for one in months], [one.target_cents / 100 for one in months])
    rows.set_title("rows")
    money.set_title("sum of amounts")
    rows.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, borderaxespad=0.2)
    _name_places(money, [one.batch for one in months])
    return figure


def _overlaid(axes: "Axes", source: list[float] | list[int], target: list[float] | list[int]) -> None:
    axes.bar(range(len(source)), source, width=0.9, color=_IN_SOURCE, label="source")
    axes.bar(range(len(target)), target, width=0.5, color=_IN_TARGET, label="target")
    _write_whole_numbers(axes)


def _write_whole_numbers(axes: "Axes") -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))


def _name_places(axes: "Axes", names: list[str]) -> None:
    step = -(-len(names) // _MOST_LABELS)
    axes.set_xticks(range(0, len(names), step), names[::step])
    axes.set_xlim(-0.7, len(names) - 0.3)


def _defects(report: Report) -> "Figure":
    sums: dict[tuple[str, str], int] = {}
    for line in report.defects:
        sums[line.action, line.reason] = sums.get((line.action, line.reason), 0) + line.records
    most = sorted(sums, key=lambda key: (-sums[key], key))[:_MOST_REASONS]
    figure, (axes,) = _new_figure(0.7 + 0.22 * len(most))
    places = range(len(most))
    bars = axes.barh(places, [sums[key] for key in most], height=0.7, color=[_ACTIONS[action] for action, _ in most])
    axes.bar_label(bars, [f"{sums[key]:,}" for key in most], padding=3)
    axes.set_yticks(places, [f"{reason} ({action})" for action, reason in most])
    axes.set_ylim(len(most) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)
    axes.margins(x=0.1)
    axes.grid(visible=False)
    return figure


def _throughput(report: Report) -> "Figure":
    loads = [one for one in report.loads if one.seconds]
    figure, (axes,) = _new_figure(1.9)
    axes.bar(range(len(loads)), [one.rows_per_second or 0 for one in loads], width=0.7, color=_IN_TARGET)
    axes.set_title("rows per second")
    _write_whole_numbers(axes)
    _name_places(axes, [one.entity if one.batch == "all" else one.batch for one in loads])
    return figure
