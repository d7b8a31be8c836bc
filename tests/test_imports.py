"""Numbers flow one way: the mathematics knows no framework, and no stage imports a later one."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import gsl_experiments

PACKAGE = Path(gsl_experiments.__file__).parent
MATHEMATICS = (
    "distance",
    "distance_transform",
    "class_weights",
    "compiling",
    "schedules",
    "losses",
    "metrics",
    "statistics",
)
STAGES = (
    "datasets",
    "validation",
    "preprocessing",
    "training",
    "inference",
    "evaluation",
    "reporting",
    "figures",
    "report",
)


def modules() -> dict[str, Path]:
    return {
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
        for path in PACKAGE.rglob("*.py")
    }


def imports(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def part(module: str) -> str:
    """The part of the package that a module belongs to: `losses` for `gsl_experiments.losses.dice`."""
    return module.split(".")[1] if "." in module else ""


@pytest.mark.parametrize("module", sorted(m for m in modules() if part(m) in MATHEMATICS))
def test_the_mathematics_imports_neither_hydra_nor_nnunet_nor_a_stage(module: str) -> None:
    for name in imports(modules()[module]):
        assert name.split(".")[0] not in ("hydra", "omegaconf", "nnunetv2", "batchgeneratorsv2")
        assert part(name) not in STAGES or not name.startswith("gsl_experiments.")


@pytest.mark.parametrize("module", sorted(m for m in modules() if part(m) in STAGES))
def test_no_stage_imports_a_later_one(module: str) -> None:
    allowed = STAGES[: STAGES.index(part(module)) + 1]
    for name in imports(modules()[module]):
        if name.startswith("gsl_experiments.") and part(name) in STAGES:
            assert part(name) in allowed, f"{module} imports {name}"


def test_importing_the_package_is_light() -> None:
    code = (
        "import sys, gsl_experiments; print({'torch', 'nnunetv2', 'SimpleITK', 'hydra'} & set(sys.modules))"
    )
    outcome = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert outcome.stdout.strip() == "set()"
