"""Gather every trained run into Tables 1 and 2 of its dataset."""

from omegaconf import DictConfig

from gsl_experiments.cli import run_stage


def stage(cfg: DictConfig) -> None:
    """Run the stage; its heavy imports wait until the configuration is known to be good."""
    from gsl_experiments.reporting.stage import make_tables

    make_tables(cfg)


if __name__ == "__main__":
    run_stage(stage, reads_settings=False)
