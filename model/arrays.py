"""The arrays that kernels and tables are made of."""

from numpy import bool_, float64, int64
from numpy.typing import NDArray

Booleans = NDArray[bool_]
Floats = NDArray[float64]
Integers = NDArray[int64]
