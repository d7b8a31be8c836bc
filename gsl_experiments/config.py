"""The composed configuration: its paths, and the names and numbers it gives to things."""

from __future__ import annotations

import json
import os
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from gsl_experiments.errors import UserError

CHECKOUT = Path(__file__).resolve().parent.parent
CONFIG_DIR = CHECKOUT / "configs"
NUM_FOLDS = 5
EXPERIMENT_KEY = "gsl_experiment"  # of the plans of a run: what was trained there
_USERS_WORKER_PROCESSES = os.environ.get("nnUNet_def_n_proc")
_USERS_LOADER_PROCESSES = os.environ.get("nnUNet_n_proc_DA")  # before `configure_nnunet` sets it


def configure_nnunet(cfg: DictConfig) -> None:
    """Set nnU-Net's environment variables: its three folders, our trainer, and process counts that fit the machine.

    Must run before the first import of nnunetv2, which reads some of them at import.
    """
    name_dataset(cfg)
    for variable, path in (
        ("nnUNet_raw", cfg.paths.raw),
        ("nnUNet_preprocessed", cfg.paths.preprocessed),
        ("nnUNet_results", cfg.paths.results),
    ):
        os.environ[variable] = str(in_checkout(path))
    from gsl_experiments import EXT_TRAINER

    others = os.environ.get("nnUNet_extTrainer", "").split(os.pathsep)
    os.environ["nnUNet_extTrainer"] = os.pathsep.join(dict.fromkeys([*filter(None, others), EXT_TRAINER]))
    os.environ["nnUNet_def_n_proc"] = str(worker_processes(cfg))
    # planning divides its work by this number, so 0 (load in the foreground) may not reach it
    os.environ["nnUNet_n_proc_DA"] = str(max(1, loader_processes(cfg)))


def name_dataset(cfg: DictConfig) -> None:
    """Put the name of the folder that ``dataset.id`` chooses into the configuration; other datasets have one.

    Raises:
        UserError: no folder of nnU-Net's three has that number or name, or several have.
    """
    if cfg.dataset.nnunet_name is not None:
        return
    folders = [in_checkout(path) for path in (cfg.paths.raw, cfg.paths.preprocessed, cfg.paths.results)]
    if cfg.dataset.raw is not None:
        raise UserError(
            f"dataset.raw={cfg.dataset.raw}: an nnU-Net dataset is taken from {folders[0]}; put it there"
        )
    present = sorted(
        {f.name for folder in folders for f in folder.glob("Dataset[0-9][0-9][0-9]_?*") if f.is_dir()}
    )
    choice = "null" if cfg.dataset.id is None else str(cfg.dataset.id)
    number = int(choice) if choice.isdecimal() else None
    names = [name for name in present if choice in (name, name[11:]) or int(name[7:10]) == number]
    if len(names) != 1:
        unknown = "choose a dataset" if cfg.dataset.id is None else "no such dataset"
        problem = "several datasets are called so" if names else unknown
        held = ", ".join(names or present) or "none"
        raise UserError(f"dataset.id={choice}: {problem}; nnU-Net's folders ({folders[0]}, ...) hold {held}")
    cfg.dataset.nnunet_name = cfg.dataset.name = names[0]


def in_checkout(path: str | Path) -> Path:
    """Return ``path`` as an absolute path, a relative one being taken from the checkout."""
    return (CHECKOUT / Path(path).expanduser()).absolute()


def raw_folder(cfg: DictConfig) -> Path:
    """Return nnU-Net's raw folder of the configured dataset."""
    return in_checkout(cfg.paths.raw) / cfg.dataset.nnunet_name


def preprocessed_folder(cfg: DictConfig) -> Path:
    """Return nnU-Net's preprocessed folder of the configured dataset."""
    return in_checkout(cfg.paths.preprocessed) / cfg.dataset.nnunet_name


def model_folder(cfg: DictConfig) -> Path:
    """Return nnU-Net's model folder of the configured run: ``Trainer__run name__configuration``."""
    name = f"nnUNetTrainerGSL__{run_name(cfg)}__{cfg.configuration}"
    return in_checkout(cfg.paths.results) / cfg.dataset.nnunet_name / name


def worker_processes(cfg: DictConfig) -> int:
    """Return how many processes share the work on cases: ``processes``, else ``nnUNet_def_n_proc``.

    By default one a core, as long as each has 6 GB: nnU-Net's resampling of a large CT takes as much.
    """
    return _chosen_processes(cfg) or max(1, min(available_cores(), total_memory_gb() // 6))


def preprocessing_processes(cfg: DictConfig) -> int:
    """Return how many processes may preprocess cases: as :func:`worker_processes`, by default one a core.

    How many of them work at a time is decided by the memory that their cases need.
    """
    return _chosen_processes(cfg) or available_cores()


def _chosen_processes(cfg: DictConfig) -> int | None:
    if cfg.processes != "auto":
        return int(cfg.processes)
    return None if _USERS_WORKER_PROCESSES is None else int(_USERS_WORKER_PROCESSES)


def loader_processes(cfg: DictConfig) -> int:
    """Return how many processes load batches in the background: ``loader_processes``, else ``nnUNet_n_proc_DA``.

    By default all cores but one, at most nnU-Net's 12; a machine with two cores loads in the foreground, where a
    second process would only compete with the training step.
    """
    if cfg.loader_processes != "auto":
        return int(cfg.loader_processes)
    if _USERS_LOADER_PROCESSES is not None:
        return int(_USERS_LOADER_PROCESSES)
    cores = available_cores()
    return 0 if cores <= 2 else min(cores - 1, 12)


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def total_memory_gb() -> int:
    """Return the machine's memory in GB, rounded down; plenty where the system does not tell."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 10**9
    except (AttributeError, ValueError, OSError):
        return 10**6


def run_name(cfg: DictConfig) -> str:
    """Return the name of the run, for example ``gsl_step5`` or ``gsl_step5_region-dl_nnunet``.

    It is the name of the run's plans file, so it may not hold the double underscore with which nnU-Net separates
    the parts of a model folder's name.
    """
    parts = [cfg.loss.name]
    if cfg.schedule.name:
        parts.append(cfg.schedule.name)
    if cfg.loss.boundary is not None and cfg.loss.region != "dice_ce":
        parts.append(f"region-{cfg.loss.region}")
    if cfg.protocol != "paper":
        parts.append(cfg.protocol)
    if cfg.suffix:
        parts.append(str(cfg.suffix))
    return "_".join(parts)


def number_of_folds(cfg: DictConfig) -> int:
    """Return how many folds the dataset is split into: five, unless the user's own ``splits_final.json`` differs."""
    if cfg.dataset.nnunet_name is None:  # of a dataset that has yet to be found
        return NUM_FOLDS
    try:
        return len(json.loads((preprocessed_folder(cfg) / "splits_final.json").read_text()))
    except (OSError, ValueError, TypeError):  # not there yet, or its reader says what is wrong
        return NUM_FOLDS


def folds(cfg: DictConfig) -> list[int]:
    """Return the folds that ``fold`` names."""
    number = number_of_folds(cfg)
    if cfg.fold == "all":
        return list(range(number))
    chosen = list(dict.fromkeys(cfg.fold)) if OmegaConf.is_list(cfg.fold) else [cfg.fold]
    for fold in chosen or [None]:
        if isinstance(fold, bool) or not isinstance(fold, int) or not 0 <= fold < number:
            raise UserError(
                f"fold={cfg.fold}: allowed are all, a fold from 0 to {number - 1}, or a list of them"
            )
    return chosen


def rendezvous(cfg: DictConfig) -> tuple[str, int] | None:
    """Return host and port at which the nodes of a training meet; None where there is only one.

    Raises:
        UserError: there are several nodes and no such place, or it is not given as host:port.
    """
    if cfg.nodes == 1 and cfg.rendezvous is None:
        return None
    host, _, port = str(cfg.rendezvous or "").rpartition(":")
    if cfg.nodes == 1 or not host or not port.isdigit() or not 0 < int(port) + NUM_FOLDS < 2**16:
        raise UserError(
            f"rendezvous={'null' if cfg.rendezvous is None else cfg.rendezvous} with nodes={cfg.nodes}: allowed are "
            "host:port of the first node for several nodes, such as node1:29400, and null for one"
        )
    return host, int(port)


def resolve_gpus(cfg: DictConfig, visible: int) -> int:
    """Return how many of the ``visible`` GPUs to train on; 0 is the CPU.

    Raises:
        UserError: ``gpus`` is not a number, or more than there are.
    """
    if cfg.gpus == "all":
        return visible
    if isinstance(cfg.gpus, bool) or not isinstance(cfg.gpus, int) or cfg.gpus < 0:
        raise UserError(f"gpus={cfg.gpus}: allowed are all or a number from 0 (the CPU) to {visible}")
    if cfg.gpus > visible:
        seen = "no GPU is" if visible == 0 else f"only {visible} GPU{'s are' if visible > 1 else ' is'}"
        raise UserError(
            f"gpus={cfg.gpus}: {seen} visible; allowed are all or a number from 0 (the CPU) to {visible}"
        )
    return int(cfg.gpus)
