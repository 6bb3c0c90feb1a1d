"""Small data sets that come with scikit-learn, read without importing it, which takes seconds."""

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hvd_qgenx.errors import ConfigurationError


def read(file: str, header_lines: int = 0) -> NDArray[np.float64]:
    """Returns the numbers of a CSV file among scikit-learn's data sets, a row for each line.

    Raises:
        ConfigurationError: scikit-learn is not installed, or does not have the file.
    """
    found: Any = importlib.util.find_spec("sklearn")
    path = Path(found.origin).parent / "datasets" / "data" / file if found else None
    if path is None or not path.exists():
        raise ConfigurationError(f"no {file} of scikit-learn; install scikit-learn again, or name another data set")
    return np.loadtxt(path, delimiter=",", skiprows=header_lines)
