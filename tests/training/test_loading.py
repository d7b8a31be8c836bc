"""Batches are a function of the seed and their number; their examples are nnU-Net's."""

import ctypes
import platform
import resource
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nnunetv2.training.dataloading.data_loader import nnUNetDataLoader
from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2
from omegaconf import DictConfig
from training_runs import assert_same, make_trainer

from gsl_experiments.training.dataloading import MapDataset, PatchBatches, load_batches, seed_everything
from gsl_experiments.training.resampled_labels import OUTSIDE
from gsl_experiments.training.trainer import nnUNetTrainerGSL
from gsl_experiments.training.transforms import Augmentation, by_fixed_algorithms, carry_maps

Configure = Callable[..., DictConfig]
INITIAL, FINAL = (30, 36, 30), (16, 24, 16)
Scales = list[list[float]] | None


@pytest.fixture
def trainer(configure: Configure) -> nnUNetTrainerGSL:
    return make_trainer(configure("loss=gsl", "suffix=loading"))


def nnunet_transforms(trainer: nnUNetTrainerGSL, scales: Scales = None) -> Any:
    rotation, dummy_2d, _, mirror = trainer.configure_rotation_dummyDA_mirroring_and_inital_patch_size()
    return by_fixed_algorithms(
        trainer.get_training_transforms(
            FINAL,
            rotation,
            scales,
            mirror,
            dummy_2d,
            use_mask_for_norm=[True] * 4,
            foreground_labels=[1, 2, 3],
        )
    )


def make_batches(
    trainer: nnUNetTrainerGSL,
    *,
    seed: int = 1,
    places: tuple[int, ...] = (0, 1, 2),
    with_maps: bool = True,
    scales: Scales = None,
) -> PatchBatches:
    return PatchBatches(
        MapDataset(trainer.preprocessed_dataset_folder, with_maps=with_maps),
        INITIAL,
        FINAL,
        trainer.label_manager,
        batch_size=3,
        places=places,
        oversample_foreground=0.33,
        transforms=carry_maps(nnunet_transforms(trainer, scales), scales, spacing_mm=(1.0, 1.0, 1.0)),
        seed=[seed],
    )


def first_batches(
    batches: PatchBatches, count: int = 4, *, first: int = 0, processes: int = 0
) -> list[dict[str, Any]]:
    return list(islice(load_batches(batches, first=first, processes=processes, pin_memory=False), count))


@pytest.mark.parametrize("processes", [1, 2])
def test_batches_do_not_depend_on_how_many_processes_load_them(
    trainer: nnUNetTrainerGSL, processes: int
) -> None:
    batches = make_batches(trainer)
    assert_same(first_batches(batches), first_batches(batches, processes=processes))


class FreesMemory:
    """An example says by how much allocating and freeing 64 MB has enlarged its process."""

    def __getitem__(self, number: int) -> float:
        ctypes.CDLL(None).malloc_trim(0)  # what is free already, from tests before, would be used first
        before = held_mb()
        np.ones(8_000_000)
        return held_mb() - before


def held_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc gives large arrays back")
@pytest.mark.parametrize(("processes", "kept"), [(0, 0), (1, 64)])
def test_a_loading_process_keeps_what_it_frees(processes: int, kept: float) -> None:
    examples = load_batches(FreesMemory(), first=0, processes=processes, pin_memory=False)  # type: ignore[arg-type]
    assert next(examples) == pytest.approx(kept, abs=6)


def test_loading_goes_on_from_any_batch(trainer: nnUNetTrainerGSL) -> None:
    batches = make_batches(trainer)
    assert_same(first_batches(batches)[2:], first_batches(batches, 2, first=2, processes=2))


def test_processes_that_share_a_batch_load_its_parts(trainer: nnUNetTrainerGSL) -> None:
    whole = make_batches(trainer)[5]
    parts = [make_batches(trainer, places=places)[5] for places in ((0, 1), (2,))]
    assert whole["keys"] == parts[0]["keys"] + parts[1]["keys"]
    for name in ("data", "target", "dtm"):
        assert torch.equal(whole[name], torch.cat([part[name] for part in parts]))


def test_batches_and_seeds_differ(trainer: nnUNetTrainerGSL) -> None:
    batches = make_batches(trainer)
    others = [batches[1], make_batches(trainer, seed=2)[0]]
    assert not any(torch.equal(batches[0]["data"], other["data"]) for other in others)
    assert not torch.equal(batches[0]["data"][0], batches[0]["data"][1])


def test_the_last_places_of_a_batch_hold_foreground(trainer: nnUNetTrainerGSL) -> None:
    """A third of a batch of three is its last place: its patch, a voxel and its neighbours, is cut at foreground."""
    batches = PatchBatches(
        MapDataset(trainer.preprocessed_dataset_folder),
        (3, 3, 3),
        (3, 3, 3),
        trainer.label_manager,
        batch_size=3,
        places=(0, 1, 2),
        oversample_foreground=0.33,
        transforms=Augmentation([]),
        seed=[1],
    )
    has_foreground = torch.stack([(batches[n]["target"] > 0).flatten(1).any(1) for n in range(20)])
    assert has_foreground[:, 2].all()
    assert not has_foreground[:, :2].all(0).any()


@pytest.mark.parametrize(
    "scales", [None, [[1, 1, 1], [0.5, 0.5, 0.5], [0.25, 0.25, 0.25]]], ids=["one scale", "three scales"]
)
def test_beyond_the_image_is_background_unless_it_is_to_be_marked(
    trainer: nnUNetTrainerGSL, scales: Scales
) -> None:
    batches, marking = make_batches(trainer, scales=scales), make_batches(trainer, scales=scales)
    marking.mark_outside = True
    for batch, marked in zip(first_batches(batches, 4), first_batches(marking, 4), strict=True):
        targets, maps, marked_targets = batch["target"], batch["dtm"], marked["target"]
        if scales is None:
            targets, maps, marked_targets = [targets], [maps], [marked_targets]
        assert len(targets) == len(scales or [None])
        for target, dtm, marked_target in zip(targets, maps, marked_targets, strict=True):
            outside = marked_target == OUTSIDE
            assert outside.any()
            assert not target[outside].any()
            assert torch.equal(target[~outside], marked_target[~outside])
            assert not dtm[outside.expand_as(dtm)].any()


@pytest.mark.parametrize(("place", "oversampled"), [(0, 0.0), (2, 1.0)])
def test_examples_are_those_of_nnunets_own_loader(
    trainer: nnUNetTrainerGSL, place: int, oversampled: float
) -> None:
    """With the same random numbers nnU-Net's loader cuts and augments the same patch, without maps.

    The last of three places is the one that has foreground for certain.
    """
    stock = nnUNetDataLoader(
        nnUNetDatasetBlosc2(trainer.preprocessed_dataset_folder),
        1,
        INITIAL,
        FINAL,
        trainer.label_manager,
        oversample_foreground_percent=oversampled,
        transforms=nnunet_transforms(trainer),
    )
    ours = make_batches(trainer, places=(place,))
    for number in range(12):
        batch = ours[number]
        seed_everything([1, number, place])
        expected = stock.generate_train_batch()
        assert batch["keys"] == list(expected["keys"])
        torch.testing.assert_close(batch["data"], expected["data"], rtol=1e-5, atol=1e-5)
        assert torch.equal(batch["target"], expected["target"].to(batch["target"].dtype))


@pytest.mark.slow
def test_volumes_and_intensities_are_distributed_as_in_nnunets_loader(trainer: nnUNetTrainerGSL) -> None:
    """360 examples each of other random numbers; means differ by less than 4.5 standard errors, 5 quantities each."""
    stock = nnUNetDataLoader(
        nnUNetDatasetBlosc2(trainer.preprocessed_dataset_folder),
        3,
        INITIAL,
        FINAL,
        trainer.label_manager,
        oversample_foreground_percent=0.33,
        transforms=nnunet_transforms(trainer),
    )
    ours = make_batches(trainer)
    seed_everything([17])
    expected = torch.cat([moments(stock.generate_train_batch()) for _ in range(120)])
    found = torch.cat([moments(ours[number]) for number in range(120)])
    error = (found.var(0) / len(found) + expected.var(0) / len(expected)).sqrt()
    assert ((found.mean(0) - expected.mean(0)).abs() < 4.5 * error).all()


def moments(batch: dict[str, Any]) -> torch.Tensor:
    """(B, 5): volume fractions of three classes, mean and mean square of the intensities."""
    fractions = [(batch["target"] == label).float().flatten(1).mean(1) for label in (1, 2, 3)]
    powers = [batch["data"].pow(power).flatten(1).mean(1) for power in (1, 2)]
    return torch.stack(fractions + powers, 1)


@pytest.mark.parametrize("spacing_mm", [(1.0, 1.0, 1.0), (1.5, 1.0, 1.0)])
def test_what_is_not_read_makes_no_difference(
    trainer: nnUNetTrainerGSL, spacing_mm: tuple[float, float, float]
) -> None:
    """Oracle: the whole patch is loaded, and then transformed with the same random numbers."""
    ours = make_batches(trainer, places=(0,))
    ours.transforms = carry_maps(nnunet_transforms(trainer), None, spacing_mm=spacing_mm)
    whole = make_batches(trainer, places=(0,))
    whole.transforms = Augmentation([])
    ours.mark_outside = whole.mark_outside = True
    resampled = 0
    for number in range(12):
        batch, loaded = ours[number], whole[number]
        expected = ours.transforms(
            image=loaded["data"][0], segmentation=loaded["target"][0], regression_target=loaded["dtm"][0]
        )
        assert torch.equal(batch["target"][0], expected["segmentation"])
        torch.testing.assert_close(batch["data"][0], expected["image"], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(batch["dtm"][0], expected["regression_target"], rtol=1e-4, atol=1e-3)
        resampled += int((batch["dtm"] * 16 % 1 != 0).any())
    assert 0 < resampled < 12


def test_slices_of_a_case_are_loaded_without_their_axis(trainer: nnUNetTrainerGSL) -> None:
    transforms = nnUNetTrainerGSL.get_training_transforms((20, 16), (-1, 1), None, (0, 1), False)
    batches = PatchBatches(
        MapDataset(trainer.preprocessed_dataset_folder),
        (30, 24),
        (20, 16),
        trainer.label_manager,
        batch_size=2,
        places=(0, 1),
        oversample_foreground=0.5,
        transforms=carry_maps(by_fixed_algorithms(transforms), None, spacing_mm=(1.0, 1.0)),
        seed=[1],
    )
    batches.mark_outside = True
    for batch in first_batches(batches, 8):
        assert batch["data"].shape[2:] == batch["target"].shape[2:] == batch["dtm"].shape[2:] == (20, 16)
        assert (batch["dtm"][(batch["target"] == OUTSIDE).expand_as(batch["dtm"])] == 0).all()


def test_cases_are_drawn_evenly(trainer: nnUNetTrainerGSL) -> None:
    """Six cases, 600 draws: each has 100, give or take five standard deviations of the binomial distribution."""
    batches = make_batches(trainer, with_maps=False)
    names = ("image", "segmentation", "regression_target")
    batches._patch = lambda key, force_foreground: ({name: torch.zeros(1) for name in names}, [])  # type: ignore[method-assign]
    keys, counts = np.unique([key for n in range(200) for key in batches[n]["keys"]], return_counts=True)
    assert len(keys) == len(list(Path(trainer.preprocessed_dataset_folder).glob("*_seg.b2nd")))
    assert (np.abs(counts - 100) < 5 * np.sqrt(600 * 1 / 6 * 5 / 6)).all()
