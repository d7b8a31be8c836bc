import inspect
import subprocess
import sys
from pathlib import Path

import hydra
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from gsl_experiments.checks import check
from gsl_experiments.cli import compose
from gsl_experiments.config import CHECKOUT, CONFIG_DIR, folds, resolve_gpus, run_name
from gsl_experiments.errors import UserError


def options(group: str) -> list[str]:
    return sorted(path.stem for path in (CONFIG_DIR / group).glob("*.yaml"))


BOUNDARY_LOSSES = ("hl", "bl", "gsl")
LONG_ENOUGH = "training.epochs=120"


@pytest.mark.parametrize("dataset", options("dataset"))
@pytest.mark.parametrize("protocol", options("protocol"))
@pytest.mark.parametrize("loss", options("loss"))
def test_every_dataset_protocol_and_loss_composes(dataset: str, protocol: str, loss: str) -> None:
    cfg = compose([f"dataset={dataset}", f"protocol={protocol}", f"loss={loss}", LONG_ENOUGH])
    check(cfg)
    OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    assert cfg.protocol == protocol
    assert cfg.loss.name == loss


@pytest.mark.parametrize("loss", BOUNDARY_LOSSES)
@pytest.mark.parametrize("schedule", [s for s in options("schedule") if s != "none"])
@pytest.mark.parametrize("protocol", options("protocol"))
def test_every_schedule_runs_from_its_config(loss: str, schedule: str, protocol: str) -> None:
    cfg = compose([f"loss={loss}", f"schedule={schedule}", f"protocol={protocol}", LONG_ENOUGH])
    check(cfg)
    alpha = instantiate(cfg.schedule.alpha)
    values = [alpha(epoch, 120) for epoch in range(120)]
    assert all(0 <= value <= 1 for value in values)
    assert values == sorted(values, reverse=True)


@pytest.mark.parametrize("experiment", options("experiment"))
def test_every_experiment_composes_and_is_named_after_what_it_runs(experiment: str) -> None:
    cfg = compose([f"experiment={experiment}"])
    check(cfg)
    assert experiment == f"{cfg.dataset.name}_{run_name(cfg)}"


@pytest.mark.parametrize("experiment", options("experiment"))
def test_an_experiment_states_only_what_differs(experiment: str) -> None:
    content = OmegaConf.load(CONFIG_DIR / "experiment" / f"{experiment}.yaml")
    assert set(content) == {"defaults"}


def test_there_is_an_experiment_for_each_row_of_the_papers_tables() -> None:
    per_dataset = {"dl", "dice_ce", "gdl", "hl_linear", "bl_linear"}
    per_dataset |= {f"gsl_{s}" for s in ("linear", "step5", "step25", "step50", "cosine")}
    assert set(options("experiment")) == {f"{d}_{row}" for d in ("lits", "brats") for row in per_dataset}


@pytest.mark.parametrize("loss", options("loss"))
@pytest.mark.parametrize("region", ["dl", "dice_ce", "gdl", "ce"])
def test_loss_targets_are_modules(loss: str, region: str) -> None:
    if loss not in BOUNDARY_LOSSES and region != loss:
        cfg = compose([f"loss={loss}"])
    else:
        cfg = compose([f"loss={loss}", f"loss.region={region}"])
        assert isinstance(instantiate(cfg.region_terms[region]), torch.nn.Module)
    if cfg.loss.boundary is not None:
        assert isinstance(instantiate(cfg.loss.boundary), torch.nn.Module)


@pytest.mark.parametrize("protocol", options("protocol"))
def test_optimizers_take_parameters(protocol: str) -> None:
    cfg = compose([f"protocol={protocol}"])
    optimizer = instantiate(cfg.training.optimizer)([torch.nn.Parameter(torch.zeros(1))])
    expected = {"paper": torch.optim.Adam, "released_code": torch.optim.Adam, "nnunet": torch.optim.SGD}
    assert type(optimizer) is expected[protocol]


@pytest.mark.parametrize("dataset", options("dataset"))
def test_dataset_readers_and_generators_have_the_configured_parameters(dataset: str) -> None:
    cfg = compose([f"dataset={dataset}"])
    assert "raw" in inspect.signature(instantiate(cfg.dataset.layout)).parameters
    if cfg.dataset.generate is not None:
        signature = inspect.signature(instantiate(cfg.dataset.generate).func)
        settings = OmegaConf.to_container(cfg.dataset.generate)
        assert set(settings) - {"_target_", "_partial_"} <= set(signature.parameters)


def test_the_papers_settings() -> None:
    """Section 2.4: Adam, 3e-4, batch 2, 128^3 and 256 x 256 x 128 (z first here), seed 42."""
    lits, brats = compose(["dataset=lits"]), compose(["dataset=brats"])
    assert lits.planning.patch_size == [128, 256, 256]
    assert brats.planning.patch_size == [128, 128, 128]
    for cfg in (lits, brats):
        assert cfg.planning.batch_size == 2
        assert cfg.training.optimizer.lr == 3e-4
        assert cfg.seed == 42


def test_names_of_runs_keep_variants_apart() -> None:
    assert run_name(compose(["loss=dl"])) == "dl"
    assert run_name(compose(["loss=gsl", "schedule=step5"])) == "gsl_step5"
    assert run_name(compose(["loss=hl", "loss.region=ce", "protocol=nnunet"])) == "hl_linear_region-ce_nnunet"
    assert run_name(compose(["loss=bl", "suffix=mine"])) == "bl_linear_mine"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["loss=dl", "schedule=step5"], r"schedule=step5: loss=dl has no boundary term"),
        (["loss=gsl", "schedule=none"], r"schedule=none: loss=gsl needs a schedule"),
        (["schedule=step50", "training.epochs=40"], r"schedule=step50 with training.epochs=40: .*50.*40"),
        (["planning.patch_size=[-1,64,64]"], r"planning.patch_size=\[-1,64,64\]: .*positive"),
        (["planning.patch_size=[64]"], r"planning.patch_size=\[64\]: allowed are two or three"),
        (["fold=7"], r"fold=7: allowed are all, a fold from 0 to 4"),
        (["fold=one"], r"fold=one: allowed"),
        (["loss.region=focal"], r"loss.region=focal: allowed are ce, dice_ce, dl, gdl"),
        (["loss=dl", "loss.region=ce"], r"loss.region=ce: loss=dl is a region loss"),
        (["training.epochs=0"], r"training.epochs=0: allowed is a positive whole number"),
        (["training.epochs=many"], r"training.epochs=many: allowed"),
        (["planning.batch_size=-2"], r"planning.batch_size=-2: allowed"),
        (["planning.target_spacing=fine"], r"planning.target_spacing=fine: allowed are paper, nnunet"),
        (["planning.absent_class=one"], r"planning.absent_class=one: allowed are diagonal, zero"),
        (["training.augmentation=none"], r"training.augmentation=none: allowed are nnunet, released_code"),
        (["training.ce_scale=sum"], r"training.ce_scale=sum: allowed are paper, voxel"),
        (["training.inner_validation=1.5"], r"training.inner_validation=1.5: allowed"),
        (["inference.tile_step_size=0"], r"inference.tile_step_size=0: allowed"),
        (
            ["training.inner_validation=some"],
            r"training.inner_validation=some: allowed is a number >= 0 and < 1",
        ),
        (["training.optimizer.lr=-1"], r"training.optimizer.lr=-1: allowed is a number > 0"),
        (["training.gradient_clip=tight"], r"training.gradient_clip=tight: allowed"),
        (["training.deep_supervision=maybe"], r"training.deep_supervision=maybe: allowed are true, false"),
        (["training.mixed_precision=1"], r"training.mixed_precision=1: allowed are true, false"),
        (["loss.class_weight_power=-1"], r"loss.class_weight_power=-1: allowed is a number >= 0"),
        (["loss.name=null"], r"loss.name=None: allowed is a name"),
        (["schedule=constant", "schedule.alpha.alpha=x"], r"schedule=constant with training.epochs=250"),
        (["planning.patch_size=5"], r"planning.patch_size=5: allowed are two or three"),
        (["seed=-3"], r"seed=-3: allowed is a whole number from 0"),
        (["processes=0"], r"processes=0: allowed is a positive whole number"),
        (["processes=many"], r"processes=many: allowed"),
        (["memory_gb=0"], r"memory_gb=0: allowed is a number > 0"),
        (["memory_gb=all"], r"memory_gb=all: allowed is a number > 0"),
        (["loader_processes=-4"], r"loader_processes=-4: allowed is a whole number from 0"),
        (["cpu_processes=0"], r"cpu_processes=0: allowed"),
        (["fold=[]"], r"fold=\[\]: allowed are all"),
        (["suffix=a__b"], r"suffix=a__b: the run would be called gsl_linear_a__b"),
        (["suffix=a/b"], r"suffix=a/b: the run would be called"),
    ],
)
def test_wrong_values_name_the_option_what_was_given_and_what_is_allowed(
    overrides: list[str], message: str
) -> None:
    with pytest.raises(UserError, match=message) as error:
        check(compose(overrides))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("fold", "expected"), [("all", [0, 1, 2, 3, 4]), ("3", [3]), ("[0,2]", [0, 2]), ("[1,1]", [1])]
)
def test_folds(fold: str, expected: list[int]) -> None:
    assert folds(compose([f"fold={fold}"])) == expected


def test_gpus_are_all_that_are_visible_and_none_is_the_cpu() -> None:
    assert resolve_gpus(compose([]), visible=4) == 4
    assert resolve_gpus(compose([]), visible=0) == 0
    assert resolve_gpus(compose(["gpus=2"]), visible=4) == 2


@pytest.mark.parametrize("gpus", ["5", "-1", "some"])
def test_a_gpu_that_is_not_there(gpus: str) -> None:
    with pytest.raises(UserError, match=f"gpus={gpus}: .*allowed are all or a number from 0"):
        resolve_gpus(compose([f"gpus={gpus}"]), visible=4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["loss=foo"], "error: loss=foo: allowed are bl, dice_ce, dl, gdl, gsl, hl\n"),
        (["dataset=mars"], "error: dataset=mars: allowed are brats, hippocampus,"),
        (["training.epoch=3"], "error: Could not override 'training.epoch'"),
        (["fold=9"], "error: fold=9: allowed are all"),
        (["dataset=brats"], "error: "),
    ],
)
def test_scripts_answer_a_slip_with_one_line(arguments: list[str], message: str, tmp_path: Path) -> None:
    paths = [f"paths.{name}={tmp_path / name}" for name in ("raw", "preprocessed", "results")]
    call = [sys.executable, str(CHECKOUT / "scripts" / "train.py"), *paths, *arguments]
    outcome = subprocess.run(call, capture_output=True, text=True, check=False)
    assert outcome.returncode == 2
    assert outcome.stderr.startswith(message)
    assert outcome.stderr.count("\n") == 1
    assert not any(tmp_path.iterdir())


def test_a_script_may_compose_another_configuration() -> None:
    with hydra.initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
        assert compose(["loss=bl"]).loss.name == "bl"
        assert hydra.compose("config").loss.name == "gsl"  # Hydra's own composition goes on
