"""What is checked: the six losses as they are trained, the paper's two networks and patches, and examples for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from hydra.utils import instantiate
from nnunetv2.training.loss.compound_losses import DC_and_CE_loss
from nnunetv2.training.loss.dice import MemoryEfficientSoftDiceLoss
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
from omegaconf import OmegaConf
from torch import Tensor, nn

from gsl_experiments.cli import compose
from gsl_experiments.config import CONFIG_DIR
from gsl_experiments.preprocessing.planning import plan_network
from gsl_experiments.training.objective import Objective

LOSSES = ("dl", "dice_ce", "gdl", "hl", "bl", "gsl")
STOCK = "nnU-Net Dice-CE"
LONGEST_DISTANCE_MM = 500.0
SPACING_MM = {
    "lits": (2.5, 0.8, 0.8),
    "brats": (1.0, 1.0, 1.0),
}  # about what planning finds; it shapes the network
CHANNELS = {"lits": 1, "brats": 4}
CLASSES = {"lits": 2, "brats": 4}
SMALL = {"patch_size": [32, 32, 32], "base_features": 4}  # for a CPU


@dataclass(frozen=True)
class Setting:
    """A network and its batch."""

    channels: int
    classes: int
    batch_size: int
    patch_size: tuple[int, ...]
    base_features: int
    spacing_mm: tuple[float, ...]

    def network(self) -> nn.Module:
        """Return nnU-Net's network for the patch, on the CPU."""
        architecture = _planned(self)["architecture"]
        network: nn.Module = get_network_from_plans(
            architecture["network_class_name"],
            architecture["arch_kwargs"],
            architecture["_kw_requires_import"],
            self.channels,
            self.classes,
            deep_supervision=False,
        )
        return network

    def batch(self, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
        """Return image, labels and maps in mm, the same numbers on every device."""
        generator = torch.Generator().manual_seed(0)
        shape = (self.batch_size, self.classes, *self.patch_size)
        image = torch.randn((self.batch_size, self.channels, *self.patch_size), generator=generator)
        labels = torch.randint(0, self.classes, (self.batch_size, 1, *self.patch_size), generator=generator)
        maps = (2 * torch.rand(shape, generator=generator) - 1) * LONGEST_DISTANCE_MM
        return image.to(device), labels.to(device), maps.to(device)


def setting_of(dataset: str, *, small: bool = False) -> Setting:
    """Return the paper's setting for ``lits`` or ``brats``, from its configuration; ``small`` suits a CPU."""
    configured = OmegaConf.to_container(OmegaConf.load(CONFIG_DIR / "dataset" / f"{dataset}.yaml"))
    assert isinstance(configured, dict)
    configured.update(SMALL if small else {})
    return Setting(
        channels=CHANNELS[dataset],
        classes=CLASSES[dataset],
        batch_size=configured["batch_size"],
        patch_size=tuple(configured["patch_size"]),
        base_features=configured["base_features"],
        spacing_mm=SPACING_MM[dataset],
    )


class TrainedLoss(nn.Module):
    """A loss as a training minimises it, at alpha 0.5, of the output of a network without deep supervision."""

    def __init__(self, name: str, classes: int, *, compiled: bool = False) -> None:
        super().__init__()
        cfg = compose([f"loss={name}"])
        self.objective = Objective(
            instantiate(cfg.region_terms[cfg.loss.region]),
            instantiate(cfg.loss.boundary) if cfg.loss.boundary is not None else None,
            class_weights=torch.linspace(1, 2, classes) / torch.linspace(1, 2, classes).sum(),
            compiled=compiled,
        )
        self.objective.alpha = 0.5

    def forward(self, logits: Tensor, labels: Tensor, maps: Tensor) -> Tensor:
        """Return the loss; maps are read by a boundary term only."""
        needs_maps = self.objective.boundary is not None
        return self.objective([logits], [labels], [maps if needs_maps else None]).total


class StockLoss(nn.Module):
    """Dice and cross entropy as nnU-Net's own trainer builds it for a 3D network."""

    def __init__(self, *, compiled: bool = False) -> None:
        super().__init__()
        settings = {"batch_dice": False, "smooth": 1e-5, "do_bg": False, "ddp": False}
        self.loss = DC_and_CE_loss(settings, {}, dice_class=MemoryEfficientSoftDiceLoss)
        if compiled:
            self.loss.dc = torch.compile(self.loss.dc)

    def forward(self, logits: Tensor, labels: Tensor, maps: Tensor) -> Tensor:
        """Return the loss."""
        return self.loss(logits, labels)


def loss_of(name: str, classes: int, *, compiled: bool = False) -> nn.Module:
    """Return one of the six losses, or nnU-Net's own; compiled as nnU-Net's trainer and ours compile them."""
    return StockLoss(compiled=compiled) if name == STOCK else TrainedLoss(name, classes, compiled=compiled)


def _planned(setting: Setting) -> dict[str, Any]:
    dimension = len(setting.patch_size)
    arguments = {
        "conv_op": f"torch.nn.modules.conv.Conv{dimension}d",
        "conv_bias": True,
        "norm_op": f"torch.nn.modules.instancenorm.InstanceNorm{dimension}d",
        "norm_op_kwargs": {"eps": 1e-5, "affine": True},
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    }
    configuration = {
        "spacing": list(setting.spacing_mm),
        "architecture": {
            "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
            "arch_kwargs": arguments,
            "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
        },
    }
    return plan_network(
        configuration,
        patch_size=setting.patch_size,
        batch_size=setting.batch_size,
        base_features=setting.base_features,
    )
