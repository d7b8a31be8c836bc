"""All bad inputs, by name."""

from bad_files import BAD_FILES
from bad_grids import BAD_GRIDS
from bad_voxels import BAD_VOXELS

BAD_INPUTS = BAD_FILES | BAD_GRIDS | BAD_VOXELS
