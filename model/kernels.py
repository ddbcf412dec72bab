"""How a numeric kernel is compiled: once, the same for a whole log and for one call."""

import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., object])


def cache_folder(root: Path) -> Path:
    """Return the folder of machine code for the present state of all files below `root` that hold kernels.

    A kernel inlines the code and the constants of kernels in other files, and numba's own cache looks at one file only.
    """
    digest = sha256()
    for path in sorted(root.rglob("*.py")):
        source = path.read_bytes()
        if b"from model.kernels import" in source:
            digest.update(source)
    return root / "__pycache__" / f"kernels-{digest.hexdigest()[:12]}"


setattr(numba.config, "CACHE_DIR", str(cache_folder(Path(__file__).parent)))  # noqa: B010 - made at run time, so no type knows it


def kernel(function: F) -> F:
    """Compile `function` with numba and keep the machine code on disk.

    Without `fastmath` the compiler may neither reorder sums nor fuse operations, so a kernel gives the same bits
    whether it is called for one event or from a loop over a log.

    Examples
    --------
    >>> from model.scorecard.scorecard import likelihood  # @kernel stands before its def
    >>> likelihood(0.0)
    0.5
    """
    return cast("F", numba.njit(cache=True)(function))


def log_kernel(function: F) -> F:
    """Compile a loop over a whole log, which lets other threads run meanwhile, such as a progress bar.

    A kernel of a few microseconds must not: each time it let go of Python's lock in the service, a call would wait for
    the thread that took it.
    """
    return cast("F", numba.njit(cache=True, nogil=True)(function))


def skip_optional_imports() -> None:
    """Let numba do without scipy and cffi, which it looks for when the first kernel is called.

    Importing them takes a service half of the time until it is ready, and no kernel multiplies matrices or calls C.
    What has been imported already stays.
    """
    absent = dict.fromkeys(name for name in ("scipy.linalg.cython_blas", "cffi") if name not in sys.modules)
    sys.modules.update(absent)  # type: ignore[arg-type]  # None stands for what cannot be imported
    try:
        import numba.core.typing.cffi_utils
        import numba.np.arraymath  # noqa: F401
    finally:
        for name in absent:
            del sys.modules[name]
