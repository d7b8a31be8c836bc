"""Every kind of finding: how bad it is, what it means and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gsl_experiments.datasets.finding import Finding, Severity

WHOLE_DATASET = "all cases"  # stands for the case of a finding about the dataset itself


@dataclass(frozen=True)
class Kind:
    """A kind of finding.

    Args:
        name: its short fixed name.
        severity: ``error`` stops preprocessing or leaves the case out.
        meaning: why it matters, for somebody who meets it for the first time.
        remedy: what to do, where a finding has nothing better to say.
    """

    name: str
    severity: Severity
    meaning: str
    remedy: str


_ERRORS = {
    "missing file": (
        "A case lacks a modality or its label.",
        "add the file, or remove the rest of the case",
    ),
    "duplicate file": (
        "Two files claim the same place; nobody can tell which one is meant.",
        "keep one of the two",
    ),
    "foreign case": (
        "Files of another edition or series lie among the dataset's; their labels may mean other things.",
        "move it elsewhere or rename it",
    ),
    "unreadable file": (
        "The file is no NIfTI image, or none that ITK can place in space.",
        "download or convert it again",
    ),
    "truncated file": (
        "The file ends before its voxels do. ITK would fill up the rest and say nothing.",
        "download or convert it again",
    ),
    "wrong dimensions": (
        "The file has another number of axes or channels than the dataset has.",
        "give one 3D file a channel, or one 4D file with all channels",
    ),
    "invalid spacing": (
        "The header has no usable voxel size: zero, negative or not a number. ITK would take 1 mm in its place.",
        "write the true spacing into the header",
    ),
    "spacing of another scale": (
        "More than 20 times the other cases' spacing, or less than a twentieth: a slip of the unit. Resampled to "
        "the common spacing the case would vanish, or fill the memory.",
        "correct the spacing in the header",
    ),
    "shape mismatch": (
        "Two files of a case have different numbers of voxels.",
        "resample it onto the grid of the other, or leave the case out",
    ),
    "geometry mismatch": (
        "Two files of a case lie in different places, though they have the same number of voxels.",
        "resample it, or copy the header of the other if the voxels belong together",
    ),
    "NaN or infinite voxels": (
        "One such voxel makes the whole normalised image, and then the loss, NaN. ITK reads them as some number.",
        "replace them, or convert the file again",
    ),
    "constant image": (
        "All voxels of the case have one value: there is nothing to learn from it.",
        "export the image again",
    ),
    "image holds labels": (
        "Image and label are swapped, or one file takes both places.",
        "put image and label in their places",
    ),
    "non-integer label": (
        "Label values lie between whole numbers, as after resampling with interpolation.",
        "resample the original label with nearest neighbour",
    ),
    "unknown label": (
        "The label file holds values that this dataset does not define.",
        "correct the label file",
    ),
    "duplicate image": (
        "The same voxels under two names. A case that is trained on and tested on makes results too good.",
        "keep one of the two",
    ),
    "absent class": (
        "No usable case holds one of the classes, so it has no class weight and cannot be learnt.",
        "check the labels in the dataset's description",
    ),
}
_WARNINGS = {
    "extra file": (
        "A further image lies beside the files of a case and is not used: another modality or a copy.",
        "move it away if it does not belong there",
    ),
    "label geometry": (
        "The header of the label disagrees with the image's. Of LiTS it is known that its label headers are not "
        "reliable, and nnU-Net ignores them: voxel belongs to voxel, and the label takes the image's geometry.",
        "check that the label lies on the image",
    ),
    "identity spacing": (
        "1 x 1 x 1 mm where the other cases have a real spacing: the true one has been lost, and distances in mm "
        "are wrong.",
        "take a release with the true spacing; for LiTS 28 to 47 that is the Decathlon's Task03_Liver",
    ),
    "implausible spacing": (
        "Voxels or field of view of a size that no scan of a body has; often metres or micrometres for mm.",
        "correct the spacing in the header",
    ),
    "contradictory header": (
        "The two geometries of the header (sform and qform) disagree; programs differ in which they take.",
        "decide on one and write it into both",
    ),
    "orientation": (
        "The axes of the voxel array point elsewhere than in the other cases. nnU-Net does not turn images: the "
        "network sees this case flipped or rotated.",
        "reorient image and label alike",
    ),
    "empty label": (
        "No voxel is labelled. Right for a scan without a finding, wrong if somebody forgot to save.",
        "look at the case; move it away if the label has been lost",
    ),
    "tiny label": (
        "So few voxels are labelled that it may be a slip of the mouse.",
        "look at the case",
    ),
    "constant channel": (
        "All voxels of one modality have one value. Right if a missing modality was filled up, wrong otherwise.",
        "export the image again",
    ),
    "label-like image": (
        "An image consists of label values alone. Right for a mask that is given to the network as a channel.",
        "look at it, and put the image in its place if it is a label",
    ),
    "not in HU": (
        "A CT without the values of air or of tissue: not in Hounsfield units, or cut to a window.",
        "export the image again, with its rescale slope and intercept applied",
    ),
}
_NOTES = {
    "header noise": (
        "Headers differ in their last digits, as between programs. The first image's geometry is written for all.",
        "nothing",
    ),
    "rounded label": (
        "Labels stored with a scale factor are off by rounding; they are rounded to whole numbers.",
        "nothing",
    ),
}

_BY_SEVERITY: tuple[tuple[Severity, dict[str, tuple[str, str]]], ...] = (
    ("error", _ERRORS),
    ("warning", _WARNINGS),
    ("note", _NOTES),
)
KINDS = {
    name: Kind(name, severity, meaning, remedy)
    for severity, entries in _BY_SEVERITY
    for name, (meaning, remedy) in entries.items()
}


def make_finding(kind: str, case: str, file: Path, problem: str, remedy: str | None = None) -> Finding:
    """A finding with its kind's severity, and its kind's remedy where there is no better one."""
    known = KINDS[kind]
    return Finding(known.severity, kind, case, file, problem, remedy or known.remedy)


def kinds_table() -> str:
    """All kinds as a Markdown table, worst first: the one in ``docs/validation.md``."""
    rows = [f"| {k.severity} | {k.name} | {k.meaning} | {_sentence(k.remedy)} |" for k in KINDS.values()]
    return "\n".join(["| severity | kind | what it means | what to do |", "|---|---|---|---|", *rows]) + "\n"


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."
