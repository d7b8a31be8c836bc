"""Predict the label images of new images with a trained run."""

from omegaconf import DictConfig

from gsl_experiments.cli import run_stage


def stage(cfg: DictConfig) -> None:
    """Run the stage; its heavy imports wait until the configuration is known to be good."""
    from gsl_experiments.inference import predict

    predict(cfg)


if __name__ == "__main__":
    run_stage(stage)
