"""What nnU-Net's ``dataset.json`` says of a dataset, with defaults for one that this project did not write."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

DatasetJson = Mapping[str, Any]


def evaluation_regions(dataset_json: DatasetJson) -> dict[str, tuple[int, ...]]:
    """Region -> the nnU-Net labels whose union is evaluated; by default every foreground label by its name."""
    if "evaluation_regions" in dataset_json:
        return {name: tuple(labels) for name, labels in dataset_json["evaluation_regions"].items()}
    return {name: (label,) for name, label in dataset_json["labels"].items() if label != 0}


def label_map(dataset_json: DatasetJson) -> dict[int, int]:
    """Raw label -> nnU-Net label; by default they are the same."""
    if "label_map" in dataset_json:
        return {int(raw): label for raw, label in dataset_json["label_map"].items()}
    return {label: label for label in dataset_json["labels"].values()}


def original_labels(dataset_json: DatasetJson) -> dict[int, int]:
    """nnU-Net label -> the raw label it is exported as; by default they are the same."""
    if "original_labels" in dataset_json:
        return {int(label): raw for label, raw in dataset_json["original_labels"].items()}
    return {label: label for label in dataset_json["labels"].values()}


def raw_regions(dataset_json: DatasetJson) -> dict[str, tuple[int, ...]]:
    """Region -> the raw labels whose union is evaluated: 1, 2 and 4 for BraTS' whole tumour."""
    raw_to_nnunet = label_map(dataset_json)
    return {
        name: tuple(raw for raw, label in raw_to_nnunet.items() if label in labels)
        for name, labels in evaluation_regions(dataset_json).items()
    }
