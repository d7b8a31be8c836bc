"""Everything that needs a GPU, in one call of under ten minutes."""

import argparse


def main() -> int:
    """Read the command line; the heavy imports wait until it is known to be good."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=9.0, help="of all checks together (%(default)s)")
    minutes = parser.parse_args().minutes

    from gsl_experiments.gpu_check.run import run_checks

    return run_checks(minutes)


if __name__ == "__main__":
    raise SystemExit(main())
