"""Everything that is wrong with a raw dataset, before anything is made of it."""

from omegaconf import DictConfig

from gsl_experiments.cli import run_stage


def stage(cfg: DictConfig) -> None:
    """Run the stage; its heavy imports wait until the configuration is known to be good."""
    from gsl_experiments.validation.stage import validate

    validate(cfg)


if __name__ == "__main__":
    run_stage(stage)
