"""The surface of a prediction in three dimensions, coloured by its distance to the reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from mpl_toolkits.mplot3d import Axes3D
from mpl_toolkits.mplot3d.art3d import Poly3DCollection
from numpy.typing import NDArray
from scipy.spatial import KDTree
from skimage.measure import block_reduce, marching_cubes

from gsl_experiments.figures.canvas import new_figure, styled
from gsl_experiments.figures.errors_of_case import Mask, bounding_box

COLORS = "PuOr"  # orange: the prediction lies outside of the reference; purple: inside
VIEWS = {"front": (12.0, -60.0), "back": (12.0, 120.0)}  # elevation and azimuth in degrees
MOST_VOXELS = 72  # along an axis of the drawn surface: more are more than a figure shows
MOST_PANEL_MM = 62.0
LIGHT = np.array([0.35, -0.6, 0.72])


@dataclass(frozen=True, eq=False)
class Surface:
    """Triangles of the outline of a mask.

    Attributes:
        vertices_mm: (V, 3), in the axis order of the mask.
        faces: (F, 3), numbers of vertices.
    """

    vertices_mm: NDArray[np.float64]
    faces: NDArray[np.int64]

    @property
    def centres_mm(self) -> NDArray[np.float64]:
        """Centre of each face, (F, 3)."""
        return self.vertices_mm[self.faces].mean(axis=1)


@dataclass(frozen=True, eq=False)
class ErrorSurface:
    """A prediction's surface, and how far each face lies from the reference's surface: positive outside of it."""

    name: str
    surface: Surface
    distances_mm: NDArray[np.float64]


def outline(mask: Mask, spacing_mm: Sequence[float]) -> Surface:
    """Surface of a 3D mask by marching cubes, half-way between its voxels and their neighbours.

    A mask of more than 72 voxels along an axis is first merged into blocks (by majority).

    Args:
        mask: boolean, not empty.
        spacing_mm: voxel spacing in mm, in array axis order.
    """
    box = bounding_box(mask)
    cropped = mask[box]
    blocks = tuple(-(-size // MOST_VOXELS) for size in cropped.shape)
    merged = block_reduce(cropped.astype(np.float32), blocks, np.mean) if max(blocks) > 1 else cropped
    vertices, faces, _, _ = marching_cubes(np.pad(merged.astype(np.float32), 1), 0.5)
    scale = np.asarray(spacing_mm) * blocks
    offset = [
        (part.start + (block - 1) / 2) * s for part, block, s in zip(box, blocks, spacing_mm, strict=True)
    ]
    return Surface((vertices - 1) * scale + np.asarray(offset), faces.astype(np.int64))


def error_surface(name: str, prediction: Mask, reference: Mask, spacing_mm: Sequence[float]) -> ErrorSurface:
    """Surface of a prediction with the distance in mm of each of its faces to the reference's surface.

    Distances run from the centre of a face to the nearest vertex or face centre of the reference's surface; they are
    positive where the face lies outside of the reference.

    Args:
        name: of the run.
        prediction: boolean mask, not empty.
        reference: boolean mask of the same shape, not empty.
        spacing_mm: voxel spacing in mm, in array axis order.
    """
    surface, target = outline(prediction, spacing_mm), outline(reference, spacing_mm)
    points = surface.centres_mm
    distances, _ = KDTree(np.concatenate([target.vertices_mm, target.centres_mm])).query(points)
    voxels = np.clip(np.rint(points / np.asarray(spacing_mm)).astype(int), 0, np.array(reference.shape) - 1)
    inside = reference[tuple(voxels.T)]
    return ErrorSurface(name, surface, np.where(inside, -distances, distances))


@styled
def draw_error_surfaces(surfaces: Sequence[ErrorSurface], *, width_mm: float) -> Figure:
    """Draw each surface from the front and from the back, all in one scale of colours and of mm.

    Args:
        surfaces: one a run; the first array axis points up, as in an axial stack from feet to head.
        width_mm: of the figure as printed.
    """
    number = len(surfaces)
    panel_mm = min(width_mm / number, MOST_PANEL_MM)
    figure = new_figure(width_mm, 2 * 0.78 * panel_mm + 16)
    panels = figure.subplots(2, number, squeeze=False, subplot_kw={"projection": "3d"})
    limit = max(1e-3, *(float(np.percentile(np.abs(s.distances_mm), 95)) for s in surfaces))
    scale = ScalarMappable(norm=Normalize(-limit, limit), cmap=matplotlib.colormaps[COLORS].reversed())
    points = np.concatenate([s.surface.vertices_mm for s in surfaces])
    for column, surface in enumerate(surfaces):
        for row, (view, (elevation, azimuth)) in enumerate(VIEWS.items()):
            axes = panels[row, column]
            _draw_surface(axes, surface, scale, points)
            axes.view_init(elevation, azimuth)
            if row == 0:
                axes.set_title(surface.name, pad=0)
            if column == 0:
                axes.text2D(-0.1, 0.5, view, transform=axes.transAxes, rotation=90, va="center")
    bar = figure.colorbar(
        scale, ax=panels, orientation="horizontal", fraction=0.03, pad=0.02, aspect=50, extend="both"
    )
    bar.set_label("distance to the reference in mm: negative inside it, positive outside")
    return figure


def _draw_surface(
    axes: Axes3D, errors: ErrorSurface, scale: ScalarMappable, points: NDArray[np.float64]
) -> None:
    triangles = errors.surface.vertices_mm[errors.surface.faces][:, :, ::-1]  # x, y, z
    colors = scale.to_rgba(errors.distances_mm)
    colors[:, :3] *= _shade(triangles)[:, None]
    axes.add_collection3d(
        Poly3DCollection(
            triangles, facecolors=colors, linewidths=0, antialiased=False, rasterized=True, clip_on=False
        )
    )
    low, high = points.min(axis=0)[::-1], points.max(axis=0)[::-1]
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), zlim=(low[2], high[2]))
    axes.set_box_aspect(high - low, zoom=1.35)
    axes.set_axis_off()


def _shade(triangles: NDArray[np.float64]) -> NDArray[np.float64]:
    """Brightness of each face under a light from above, in [0.7, 1]."""
    normals = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    lengths = np.linalg.norm(normals, axis=1)
    cosines = np.abs(normals @ LIGHT) / (np.maximum(lengths, 1e-12) * np.linalg.norm(LIGHT))
    return np.asarray(0.7 + 0.3 * cosines)
