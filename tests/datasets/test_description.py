from gsl_experiments.datasets.description import evaluation_regions, label_map, original_labels, raw_regions

BRATS = {
    "labels": {"background": 0, "necrotic_core": 1, "edema": 2, "enhancing_tumor": 3},
    "label_map": {"0": 0, "1": 1, "2": 2, "4": 3},
    "original_labels": {"0": 0, "1": 1, "2": 2, "3": 4},
    "evaluation_regions": {"Whole Tumor": [1, 2, 3], "Tumor Core": [1, 3], "Enhancing Tumor": [3]},
}
LITS = {
    "labels": {"background": 0, "liver": 1},
    "label_map": {"0": 0, "1": 1, "2": 1},
    "original_labels": {"0": 0, "1": 1},
    "evaluation_regions": {"Liver": [1]},
}
DECATHLON = BRATS | {
    "label_map": {"0": 0, "1": 2, "2": 1, "3": 3},
    "original_labels": {"0": 0, "1": 2, "2": 1, "3": 3},
}
FOREIGN = {"labels": {"background": 0, "RV": 1, "LV": 2}}


def test_regions_of_raw_brats_are_the_standard_ones() -> None:
    assert raw_regions(BRATS) == {"Whole Tumor": (1, 2, 4), "Tumor Core": (1, 4), "Enhancing Tumor": (4,)}
    assert evaluation_regions(BRATS)["Tumor Core"] == (1, 3)
    assert original_labels(BRATS)[3] == 4


def test_regions_of_the_decathlons_brats_are_the_standard_ones() -> None:
    """1 is the oedema there, 2 the core without enhancement."""
    regions = {name: set(labels) for name, labels in raw_regions(DECATHLON).items()}
    assert regions == {"Whole Tumor": {1, 2, 3}, "Tumor Core": {2, 3}, "Enhancing Tumor": {3}}
    assert original_labels(DECATHLON) == {0: 0, 1: 2, 2: 1, 3: 3}


def test_lesions_belong_to_the_liver_in_raw_lits() -> None:
    assert raw_regions(LITS) == {"Liver": (1, 2)}


def test_a_dataset_of_somebody_else_is_evaluated_label_by_label() -> None:
    assert evaluation_regions(FOREIGN) == raw_regions(FOREIGN) == {"RV": (1,), "LV": (2,)}
    assert label_map(FOREIGN) == original_labels(FOREIGN) == {0: 0, 1: 1, 2: 2}
