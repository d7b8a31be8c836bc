"""Compiled functions work where nothing can be kept on disk, too."""

import pytest
from numba.core.caching import CacheImpl

from gsl_experiments.compiling import compiled


def ratio(a: float, b: float) -> float:
    return a / b


@pytest.mark.parametrize("disk_is_writable", [True, False])
def test_a_compiled_function_is_the_function(
    disk_is_writable: bool, monkeypatch: pytest.MonkeyPatch, tmp_path
) -> None:
    monkeypatch.setattr("numba.core.config.CACHE_DIR", str(tmp_path))
    if not disk_is_writable:
        monkeypatch.setattr(
            CacheImpl, "_locator_classes", []
        )  # numba knows no place, and says so by an error
    compiled_ratio = compiled(ratio)
    assert compiled_ratio(3.0, 4.0) == 0.75
    assert compiled_ratio(1.0, 0.0) == float("inf")
    assert any(tmp_path.rglob("*.nbi")) == disk_is_writable
