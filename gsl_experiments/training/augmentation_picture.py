"""A picture of what augmentation does to image, labels and distance maps, to be looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from gsl_experiments.atomic import replacing
from gsl_experiments.training.dataloading import PatchBatches
from gsl_experiments.training.resampled_labels import OUTSIDE
from gsl_experiments.training.transforms import Augmentation

COLOURS = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7")  # Okabe and Ito's
OUTSIDE_COLOUR = "#BBBBBB"
MAP_RANGE_MM = 10.0
LEVELS_MM = (-10, -5, 5, 10, 15, 20)
MAP_COLOURS = "PuOr"
PANEL_INCHES = 2.2
DOTS_PER_INCH = 110


class _Slice(NamedTuple):
    """One slice of a sample: (rows, columns), or (C, rows, columns) for the maps."""

    image: NDArray[np.float32]
    target: NDArray[np.int16]
    dtm: NDArray[np.float32] | None
    spacing_mm: tuple[float, float]
    title: str


def picture_of_batches(
    batches: PatchBatches,
    path: Path,
    *,
    class_names: Sequence[str],
    spacing_mm: Sequence[float],
    numbers: Sequence[int] = (0, 1, 2),
) -> Path:
    """Draw samples of a training as they are loaded and as they leave the augmentation. Returns the path.

    Args:
        batches: the training's; a sample is loaded twice from the same random state, without and with transforms.
        path: the PNG to write.
        class_names: one for each class, background first.
        spacing_mm: of the network's grid, one number for each array axis.
        numbers: which batches.
    """
    augmented = copy(batches)
    augmented.mark_outside = True
    as_loaded = copy(augmented)
    as_loaded.transforms = Augmentation([])
    pairs = [(as_loaded[number], augmented[number]) for number in numbers]
    return write_augmentation_picture(pairs, path, class_names=class_names, spacing_mm=spacing_mm)


def write_augmentation_picture(
    pairs: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]],
    path: Path,
    *,
    class_names: Sequence[str],
    spacing_mm: Sequence[float],
) -> Path:
    """Draw image, labels and a map before and after augmentation, the map's zero contours over the labels.

    Each sample is cut through its foreground: across the first axis, and in 3D also across the second. Axes are in mm.
    The map is that of the class with most voxels in the slice. What lies outside the image is grey and hatched.

    Args:
        pairs: batches before and after, of equal length, with ``data`` (B, channels, *spatial), ``target``
            (B, 1, *spatial), ``dtm`` (B, C, *spatial) or None, each a list with the full resolution first under deep
            supervision, and ``keys``.
        path: the PNG to write, whole or not at all.
        class_names: one for each class, background first.
        spacing_mm: one number for each array axis.
    """
    rows = [
        (f"{key} {number + 1}.{place + 1}", [_cut(batch, place, axis, spacing_mm) for batch in pair])
        for number, pair in enumerate(pairs)
        for place, key in enumerate(pair[0]["keys"])
        for axis in range(len(spacing_mm) - 1)
    ]
    with_maps = pairs[0][0]["dtm"] is not None
    columns = 3 if with_maps else 2
    figure = Figure(
        figsize=(2 * columns * PANEL_INCHES + 1, len(rows) * PANEL_INCHES + 0.5), layout="constrained"
    )
    panels = figure.subplots(len(rows), 2 * columns, squeeze=False)
    for row, (name, states) in zip(panels, rows, strict=True):
        for state, part, when in zip(
            states, (row[:columns], row[columns:]), ("before", "after"), strict=True
        ):
            _draw_image(part[0], state)
            part[0].set_title(f"{name} {when}{state.title}", fontsize=7)
            _draw_labels(part[1], state)
            part[1].set_title("labels, maps' zero contours" if with_maps else "labels", fontsize=7)
            if with_maps:
                label = _largest_class(state)
                _draw_map(part[2], state, label)
                part[2].set_title(f"map of {class_names[label]}", fontsize=7)
    _add_legend(figure, panels, class_names, with_maps=with_maps)
    with replacing(path) as partial:
        figure.savefig(partial, dpi=DOTS_PER_INCH)
    return path


def _add_legend(figure: Figure, panels: NDArray[Any], class_names: Sequence[str], *, with_maps: bool) -> None:
    handles = [Patch(color=_colour(i), label=name) for i, name in enumerate(class_names) if i > 0]
    handles.append(
        Patch(facecolor=OUTSIDE_COLOUR, hatch="////", edgecolor="white", label="outside the image")
    )
    figure.legend(handles=handles, loc="outside lower left", ncols=8, frameon=False, fontsize=8)
    if with_maps:
        scale = ScalarMappable(norm=_norm(), cmap=MAP_COLOURS)
        bar = figure.colorbar(scale, ax=panels, aspect=60, fraction=0.02, pad=0.01, extend="both")
        bar.set_label("signed distance in mm, negative inside", fontsize=8)


def _cut(batch: Mapping[str, Any], place: int, axis: int, spacing_mm: Sequence[float]) -> _Slice:
    """Return the slice across an axis that holds most foreground; a 2D sample is its own slice."""
    image, target = (_sample(batch[name], place) for name in ("data", "target"))
    dtm = None if batch["dtm"] is None else _sample(batch["dtm"], place)
    first, second = (
        float(spacing) for i, spacing in enumerate(spacing_mm) if len(spacing_mm) == 2 or i != axis
    )
    title = ""
    if len(spacing_mm) == 3:
        foreground = np.moveaxis(target[0] > 0, axis, 0).sum((1, 2))
        index = int(foreground.argmax()) if foreground.any() else len(foreground) // 2
        image, target = image.take(index, axis + 1), target.take(index, axis + 1)
        dtm = None if dtm is None else dtm.take(index, axis + 1)
        title = f"\naxis {axis}, slice {index}"
    return _Slice(image[0], target[0], dtm, (first, second), title)


def _sample(tensors: Any, place: int) -> NDArray[Any]:
    """Return one sample of a batch at full resolution."""
    return np.asarray((tensors[0] if isinstance(tensors, list) else tensors)[place])


def _draw_image(axes: Axes, state: _Slice) -> None:
    inside = state.image[state.target != OUTSIDE]
    low, high = np.percentile(inside, (1, 99)) if inside.size else (0.0, 1.0)
    _show(axes, state, state.image, cmap="gray", vmin=low, vmax=high)


def _draw_labels(axes: Axes, state: _Slice) -> None:
    _draw_image(axes, state)
    overlay = np.zeros((*state.target.shape, 4))
    for label in np.unique(state.target[state.target > 0]):
        overlay[state.target == label] = to_rgba(_colour(label), 0.6)
    _show(axes, state, overlay)
    if state.dtm is not None:
        for dtm in state.dtm[1:]:
            _draw_contours(axes, state, dtm, [0], 1.0)


def _draw_map(axes: Axes, state: _Slice, label: int) -> None:
    if state.dtm is not None:
        _show(
            axes,
            state,
            np.ma.masked_where(state.target == OUTSIDE, state.dtm[label]),
            norm=_norm(),
            cmap=MAP_COLOURS,
        )
        _draw_contours(axes, state, state.dtm[label], [0], 1.0)
        _draw_contours(axes, state, state.dtm[label], LEVELS_MM, 0.4)


def _draw_contours(
    axes: Axes, state: _Slice, dtm: NDArray[np.float32], levels_mm: Sequence[float], width: float
) -> None:
    crossed = [level for level in levels_mm if dtm.min() < level < dtm.max()]
    if min(dtm.shape) < 2 or not crossed:
        return
    rows, columns = (
        (np.arange(size) + 0.5) * spacing for size, spacing in zip(dtm.shape, state.spacing_mm, strict=True)
    )
    shown = np.ma.masked_where(state.target == OUTSIDE, dtm)
    axes.contour(columns, rows, shown, levels=crossed, colors="black", linewidths=width, linestyles="solid")


def _show(axes: Axes, state: _Slice, pixels: NDArray[Any], **colours: Any) -> None:
    """Draw pixels in mm; masked ones leave the hatched background."""
    height, width = (
        size * spacing for size, spacing in zip(state.target.shape, state.spacing_mm, strict=True)
    )
    if pixels.ndim == 2:
        pixels = np.ma.masked_where(state.target == OUTSIDE, pixels)
    axes.imshow(pixels, extent=(0, width, height, 0), interpolation="nearest", **colours)
    axes.patch.set(facecolor=OUTSIDE_COLOUR, hatch="////", edgecolor="white")
    axes.tick_params(labelsize=6)
    inside = state.target != OUTSIDE
    if inside.any():
        (top, bottom), (left, right) = (
            np.flatnonzero(inside.any(1 - axis))[[0, -1]] * spacing
            for axis, spacing in enumerate(state.spacing_mm)
        )
        border = 4 * max(state.spacing_mm)
        axes.set(
            xlim=(max(left - border, 0), min(right + border, width)),
            ylim=(min(bottom + border, height), max(top - border, 0)),
        )


def _largest_class(state: _Slice) -> int:
    """Return the foreground class with most pixels."""
    counts = np.bincount(state.target[state.target > 0], minlength=2)
    return int(counts.argmax()) or 1


def _colour(label: int) -> str:
    return COLOURS[(label - 1) % len(COLOURS)]


def _norm() -> Normalize:
    return Normalize(-MAP_RANGE_MM, MAP_RANGE_MM)
