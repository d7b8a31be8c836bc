"""Where a result comes from: what is stored beside every one of them."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = (
    "gsl_experiments",
    "nnunetv2",
    "batchgeneratorsv2",
    "dynamic-network-architectures",
    "torch",
    "numpy",
    "scipy",
    "SimpleITK",
    "blosc2",
    "pandas",
    "hydra-core",
)


def collect(config: Any) -> dict[str, Any]:
    """Return the composed ``config`` with package versions, git commit and dirty state, machine, command and time."""
    return {
        "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": " ".join(sys.argv),
        "git": _git_state(),
        "machine": _machine(),
        "python": platform.python_version(),
        "packages": _package_versions(),
        "config": config,
    }


def _git_state() -> dict[str, Any]:
    """Return the commit of the checkout and whether its tracked files differ from it; nulls outside a checkout."""
    here = Path(__file__).resolve().parent

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(here), *arguments], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        return {
            "commit": git("rev-parse", "HEAD"),
            "dirty": bool(git("status", "--porcelain", "--untracked-files=no")),
        }
    except (OSError, subprocess.CalledProcessError):
        return {"commit": None, "dirty": None}


def _machine() -> dict[str, Any]:
    import torch

    return {
        "system": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        "cuda": torch.version.cuda if torch.cuda.is_available() else None,
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def _package_versions() -> dict[str, str | None]:
    versions: dict[str, str | None] = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = None
    return versions
