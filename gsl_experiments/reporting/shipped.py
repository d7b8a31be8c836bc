"""Whether a run was trained as the configurations have it that give a row of the paper its name."""

from functools import cache

from omegaconf import DictConfig, OmegaConf

from gsl_experiments.cli import compose
from gsl_experiments.config import CONFIG_DIR, EXPERIMENT_KEY
from gsl_experiments.evaluation import Run
from gsl_experiments.evaluation.runs import read_json
from gsl_experiments.reporting.comparability import flat

_DEFINING = (
    "region_term",
    "boundary_term",
    "class_weight_power",
    "alpha",
)  # of the plans, besides loss and schedule


def unlike_its_name(run: Run) -> str:
    """In what a run differs from the shipped configuration of its loss and schedule; empty if in nothing.

    What its plans do not record is not compared, nor is a run of a protocol that is not shipped.
    """
    plans_file, protocol = run.path / "plans.json", run.experiment.protocol
    if not plans_file.exists() or not (CONFIG_DIR / "protocol" / f"{protocol}.yaml").exists():
        return ""
    recorded = read_json(plans_file).get(EXPERIMENT_KEY, {})
    own = {key: recorded[key] for key in _DEFINING if key in recorded}
    if not own:
        return ""
    from gsl_experiments.training.experiment import describe  # loads nnU-Net

    cfg = _shipped(run.experiment.loss, run.experiment.schedule or "none", protocol).copy()
    cfg.training = OmegaConf.merge(cfg.training, recorded.get("training", {}))
    shipped = describe(cfg)
    usual, found = dict(flat({key: shipped[key] for key in own})), dict(flat(own))
    return "; ".join(
        f"{name} {found.get(name, 'missing')}, not {usual.get(name, 'given')}"
        for name in dict.fromkeys([*usual, *found])
        if found.get(name) != usual.get(name)
    )


@cache
def _shipped(loss: str, schedule: str, protocol: str) -> DictConfig:
    return compose([f"loss={loss}", f"schedule={schedule}", f"protocol={protocol}"])
