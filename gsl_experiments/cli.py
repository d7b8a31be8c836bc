"""The entry point that all scripts share: Hydra's composition, our checks, and errors of one line."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException, MissingConfigException
from hydra.initialize import get_gh_backup, restore_gh_from_backup
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from gsl_experiments.checks import check, check_resources
from gsl_experiments.config import CONFIG_DIR, configure_nnunet
from gsl_experiments.errors import UserError

MENDABLE = {
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EEXIST,
    errno.EISDIR,
    errno.ENOTDIR,
}


def run_stage(stage: Callable[[DictConfig], None], *, reads_settings: bool = True) -> None:
    """Compose the configuration from the command line, check it, and hand it to ``stage``.

    A stage that measures what is there does not read the settings of a training: ``reads_settings=False`` leaves
    them unchecked.

    Exits with status 2 and one line on standard error for whatever the user can mend; anything else is a bug of
    ours and keeps its traceback.
    """

    def checked_stage(cfg: DictConfig) -> None:
        check(cfg) if reads_settings else check_resources(cfg)
        configure_nnunet(cfg)
        stage(cfg)

    _check_composition(sys.argv[1:])
    entry = hydra.main(version_base="1.3", config_path=str(CONFIG_DIR), config_name="config")
    entry(lambda cfg: report_errors(checked_stage, cfg))()


def report_errors(call: Callable[..., None], *arguments: DictConfig) -> None:
    """Call, and turn an error that the user can mend into one line and a status."""
    try:
        call(*arguments)
    except KeyboardInterrupt:
        _exit_with("interrupted; call again to continue", status=130)
    except Exception as error:
        line = users_error(error)
        if line is None:
            raise
        _exit_with(line)


def users_error(error: Exception) -> str | None:
    """Return the line that tells the user what to mend; None for a bug of ours."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, HydraException | OmegaConfBaseException):
        return _first_line(error)
    if isinstance(error, OSError) and error.errno in MENDABLE:
        return f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror)
    return None


def compose(overrides: Sequence[str]) -> DictConfig:
    """Return the configuration that these overrides compose, as a script would see it; in a script, too."""
    running = get_gh_backup()
    GlobalHydra.instance().clear()
    try:
        with hydra.initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
            return hydra.compose("config", overrides=list(overrides))
    finally:
        restore_gh_from_backup(running)


def _check_composition(arguments: Sequence[str]) -> None:
    """Compose once beforehand, because Hydra answers a slip of the user with a page of its own."""
    if any(argument.startswith("-") for argument in arguments):  # options of Hydra's own, such as --cfg job
        return
    try:
        compose(arguments)
    except MissingConfigException as error:
        group, _, given = (error.missing_cfg_file or "").rpartition("/")
        _exit_with(
            f"{group}={given}: allowed are {', '.join(error.options or [])}" if group else _first_line(error)
        )
    except (HydraException, OmegaConfBaseException) as error:
        _exit_with(_first_line(error))


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return "; ".join(lines[:2])


def _exit_with(message: str, *, status: int = 2) -> NoReturn:
    print(f"error: {message}", file=sys.stderr)
    raise SystemExit(status)
