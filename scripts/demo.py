"""The main job on phantoms, from raw images to tables and a report: what `make demo` runs.

Two small synthetic datasets in the raw layouts of LiTS and BraTS are preprocessed, Dice-CE and GSL are trained on the
first fold of each, the held-out cases are predicted, and tables and a report compare them. Everything lies in
`data/demo`. Arguments are Hydra overrides for every stage, for example `fold=all`.
"""

import sys
import time

from gsl_experiments.checks import check
from gsl_experiments.cli import compose, report_errors
from gsl_experiments.config import configure_nnunet

FOLDER = "data/demo"
PATHS = [
    f"paths.raw={FOLDER}/nnUNet_raw",
    f"paths.preprocessed={FOLDER}/nnUNet_preprocessed",
    f"paths.results={FOLDER}/nnUNet_results",
    f"paths.tables={FOLDER}/tables",
]
DATASETS = ("phantom_lits", "phantom_brats")
FEW_STEPS = [
    "fold=0",
    "training.optimizer.lr=0.003",
]  # the paper's rate, 0.0003, wants more steps than a demo has
LOSSES = (["loss=dice_ce"], ["loss=gsl", "schedule=linear"])


def main() -> None:
    """Run every stage in this process."""
    start = time.monotonic()
    common = ["dataset=phantom_lits", *PATHS, *FEW_STEPS, *sys.argv[1:]]
    configure_nnunet(compose(common))

    from gsl_experiments.preprocessing.stage import preprocess
    from gsl_experiments.report.stage import make_report
    from gsl_experiments.reporting.stage import make_tables
    from gsl_experiments.training.launch import train

    for dataset in DATASETS:
        chosen = [*common, f"dataset={dataset}", f"dataset.raw={FOLDER}/raw/{dataset}"]
        preprocess(compose(chosen))
        for loss in LOSSES:
            cfg = compose([*chosen, *loss])
            check(cfg)
            train(cfg)
    make_tables(compose(common))
    reports = make_report(compose(common))
    print(f"\nThe demo took {(time.monotonic() - start) / 60:.1f} minutes. Its reports:")
    print("\n".join(f"  {report}" for report in reports))


if __name__ == "__main__":
    if {"-h", "--help"} & set(sys.argv[1:]):
        print(__doc__)
    else:
        report_errors(main)
