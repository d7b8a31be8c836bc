"""Write the plans of one run, for nnU-Net's stock commands."""

from omegaconf import DictConfig

from gsl_experiments.cli import run_stage


def stage(cfg: DictConfig) -> None:
    """Run the stage; its heavy imports wait until the configuration is known to be good."""
    from gsl_experiments.training.experiment import write_experiment_plans

    write_experiment_plans(cfg)


if __name__ == "__main__":
    run_stage(stage)
