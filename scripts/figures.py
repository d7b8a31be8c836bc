"""Draw the figures of every dataset from all trained runs."""

from omegaconf import DictConfig

from gsl_experiments.cli import run_stage


def stage(cfg: DictConfig) -> None:
    """Run the stage; its heavy imports wait until the configuration is known to be good."""
    from gsl_experiments.figures.stage import make_figures

    make_figures(cfg)


if __name__ == "__main__":
    run_stage(stage, reads_settings=False)
