"""Exact distances in mm from some voxels to the nearest of a set of voxels, by whichever of two ways is faster.

A k-d tree is fast where the set is near: it looks at few of its voxels. In the middle of a large set all of them are
about equally far, and it looks at most of them. A Euclidean distance transform takes a time that depends on the size of
the image alone. Both work in double precision and find the same distances.

Equal distances are equal numbers, wherever in the image they lie: they follow from whole numbers of voxels, and are
rounded, because 5 voxels along a row and 3 by 4 across it are equally far, but their squares may sum to other numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from jaxtyping import Float, Integer
from scipy.spatial import cKDTree

Voxels = Integer[np.ndarray, "n axes"]
Distances = Float[np.ndarray, " n"]

DECIMALS = 9  # of a distance in mm

# What work takes, in nanoseconds; only their ratios matter, and only for the choice between the two ways.
_BUILD_NS = 150  # of a voxel that goes into the tree
_QUERY_NS = 500  # of a voxel that is asked for, and
_CANDIDATE_NS = 6  # of each voxel of the set that is not much farther than the nearest
_TRANSFORM_NS = 30  # of a voxel of the image, in the transform
_TREE_AT_ANY_RATE_NS = 200_000_000  # less than it takes to load the compiled transform
_SAMPLE = 64
_LEAF_VOXELS = 3  # about the width of a leaf of the tree


class NearestVoxels:
    """Distances to a set of voxels of a 2D or 3D image.

    Args:
        voxels: indices of the set, not empty.
        shape: of the image; all voxels lie within it.
        spacing_mm: voxel spacing in mm, in array axis order.
    """

    def __init__(self, voxels: Voxels, shape: Sequence[int], spacing_mm: Sequence[float]) -> None:
        self.voxels = voxels
        self.shape = tuple(shape)
        self.spacing_mm = tuple(spacing_mm)

    def distances(self, queries: Voxels) -> Distances:
        """Distances in mm, to 1e-9 mm, from voxels, in the order of the array, to the nearest of the set."""
        measure = self._by_tree if self._tree_is_faster(queries) else self._by_transform
        return np.round(measure(queries), DECIMALS)

    def _tree_is_faster(self, queries: Voxels) -> bool:
        """Whether the tree takes less than the transform; a sample of the queries tells how many voxels it looks at."""
        limit_ns = max(_TRANSFORM_NS * int(np.prod(self.shape)), _TREE_AT_ANY_RATE_NS)
        tree_ns = _BUILD_NS * len(self.voxels) + _QUERY_NS * len(queries)
        if tree_ns <= limit_ns < _CANDIDATE_NS * len(self.voxels) * len(queries):
            sample = self._points(queries[:: -(-len(queries) // _SAMPLE)])
            reach = self._tree.query(sample)[0] + _LEAF_VOXELS * np.linalg.norm(self.spacing_mm)
            candidates = self._tree.query_ball_point(sample, reach, return_length=True).mean()
            tree_ns += _CANDIDATE_NS * candidates * len(queries)
        return tree_ns <= limit_ns

    def _points(self, voxels: Voxels) -> Float[np.ndarray, "n axes"]:
        return voxels * np.array(self.spacing_mm, dtype=np.float64)

    def _by_tree(self, queries: Voxels) -> Distances:
        nearest = self._tree.query(self._points(queries))[1]
        return np.sqrt((self._points(self.voxels[nearest] - queries) ** 2).sum(axis=1))

    def _by_transform(self, queries: Voxels) -> Distances:
        from gsl_experiments.metrics.transform import transform_distances

        return transform_distances(self.voxels, queries, shape=self.shape, spacing_mm=self.spacing_mm)

    @cached_property
    def _tree(self) -> cKDTree:
        # Points of a grid: splitting in the middle is as good as at the median, and much faster.
        return cKDTree(self._points(self.voxels), balanced_tree=False)
