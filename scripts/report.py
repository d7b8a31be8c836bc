"""Everything about the runs of a dataset in one HTML file."""

from omegaconf import DictConfig

from gsl_experiments.cli import run_stage


def stage(cfg: DictConfig) -> None:
    """Run the stage; its heavy imports wait until the configuration is known to be good."""
    from gsl_experiments.report.stage import make_report

    make_report(cfg)


if __name__ == "__main__":
    run_stage(stage, reads_settings=False)
