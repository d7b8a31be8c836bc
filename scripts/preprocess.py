"""Raw data to nnU-Net raw, plans, preprocessed cases, distance maps, class weights and folds."""

from omegaconf import DictConfig

from gsl_experiments.cli import run_stage


def stage(cfg: DictConfig) -> None:
    """Run the stage; its heavy imports wait until the configuration is known to be good."""
    from gsl_experiments.preprocessing.stage import preprocess

    preprocess(cfg)


if __name__ == "__main__":
    run_stage(stage)
