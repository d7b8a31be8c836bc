"""Check that a preprocessed dataset is whole: cases, maps, references, weights and folds as they were recorded."""

from omegaconf import DictConfig

from gsl_experiments.cli import run_stage


def stage(cfg: DictConfig) -> None:
    """Run the check; its imports wait until the configuration is known to be good."""
    from gsl_experiments.preprocessing.verify import verify

    verify(cfg)


if __name__ == "__main__":
    run_stage(stage, reads_settings=False)
