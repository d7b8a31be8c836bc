"""Everything that needs a GPU, in one call of under ten minutes."""

from gsl_experiments.gpu_check.run import main

if __name__ == "__main__":
    raise SystemExit(main())
