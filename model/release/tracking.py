"""A training as a run of MLflow: parameters, metrics, report, card and the release itself, registered.

Where: the server or database of MLFLOW_TRACKING_URI, else `mlflow.db` in the working folder. What is tracked is read
from the folders of the release and its evaluation, so that a run says what stands on disk and nothing else.
"""

import json
import os
import shutil
import subprocess
import warnings
from collections.abc import Iterator, Mapping
from hashlib import sha256
from importlib.metadata import distributions
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from model.release.folder import MANIFEST, Release, read_release
from model.release.registry import INSIDE, Registry, Version
from model.scorecard.features import FEATURES, STAGES

PYFUNC = Path(__file__).with_name("mlflow_flavour.py")
EXPERIMENT = "saring"
_OF_STAGE = ("auc", "average_precision_genuine", "brier", "brier_skill", "calibration_error", "calibration_slope")
#: Whose waits by slice are tracked: nobody hangs up, and the centre is nearly always busy.
_CONDITION = "no_hang_ups_0.95"
_OF_SLICE = ("wait_ratio", "over_5_s", "over_30_s", "callers")


def register(folder: Path, evaluation: Path | None, registry: Registry) -> tuple[Version, bool]:
    """Track a release as a run and register it.

    Parameters
    ----------
    folder : Path
        Of the release.
    evaluation : Path, optional
        Folder that `saring evaluate` wrote.

    Returns
    -------
    version : Version
        As challenger; as champion when there was none yet.
    new : bool
        False when this very release stands in the registry already: nothing is then written.

    Raises
    ------
    ReleaseError
        When the release is not whole.
    RegistryError
    """
    release = read_release(folder)
    digest = sha256((folder / MANIFEST).read_bytes()).hexdigest()
    for version in registry.versions():
        if version.tags.get("manifest") == digest:
            return version, False
    later = json.loads((evaluation / "metrics.json").read_bytes()) if evaluation else None
    own = json.loads((folder / "metrics.json").read_bytes())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's own, of its type hints and of examples that a signature replaces
        number = _tracked(folder, evaluation, release, {"certify": own, "later": later}, digest, registry)
    return registry.assign_alias(number), True


def _tracked(
    folder: Path,
    evaluation: Path | None,
    release: Release,
    measured: Mapping[str, Mapping[str, Any] | None],
    digest: str,
    registry: Registry,
) -> int:
    import mlflow

    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(registry.uri)
    try:
        mlflow.set_experiment(EXPERIMENT)
        with mlflow.start_run(run_name=release.name):
            mlflow.log_params(dict(_flat(release.manifest["params"])) | {"until": release.manifest["until"]})
            mlflow.set_tags(release_tags(release, digest))
            for name, metrics in measured.items():
                if metrics is not None:
                    mlflow.log_metrics({f"{name}/{key}": value for key, value in comparable_metrics(metrics).items()})
            if evaluation is not None:
                for name in ("report.html", "metrics.json", "headline.json"):
                    mlflow.log_artifact(str(evaluation / name), "evaluation")
            mlflow.log_artifacts(str(folder), "release")
            mlflow.log_text(_packages(), "packages.txt")
            return _logged(folder, release, digest, registry)
    finally:
        mlflow.set_tracking_uri(before)


def release_tags(release: Release, digest: str) -> dict[str, str]:
    """Return what a run, and the version that comes of it, say of a release."""
    manifest = release.manifest
    return {
        "release": release.name,
        "manifest": digest,
        "until": manifest["until"],
        "certificate_until": release.certificate.expires_at.isoformat(),
        "data_fingerprint": manifest["data"]["fingerprint"],
        "data_calls": str(manifest["data"]["calls"]),
        "python": manifest["python"],
        **{f"package.{name}": number for name, number in manifest["packages"].items()},
        **_revision(),
    }


def comparable_metrics(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Return the figures of a `metrics.json` that runs are compared by, each under a path.

    Examples
    --------
    >>> stage = {"auc": 0.9, "brier": None}
    >>> stages = dict.fromkeys(("ring", "opening", "ended"), stage)
    >>> comparable_metrics({"stages": stages, "summary": None, "slices": None})
    {'ring/auc': 0.9, 'opening/auc': 0.9, 'ended/auc': 0.9}
    """
    found = {f"{stage}/{name}": metrics["stages"][stage].get(name) for stage in STAGES for name in _OF_STAGE}
    found |= {f"summary/{name}": value for name, value in (metrics["summary"] or {}).items()}
    for slice_, row in (metrics["slices"] or {}).get(_CONDITION, {}).items():
        found |= {f"slices/{slice_}/{name}": row[name] for name in _OF_SLICE}
    return {name: float(value) for name, value in found.items() if value is not None}


def _logged(folder: Path, release: Release, digest: str, registry: Registry) -> int:
    """Register the release as a pyfunc whose artifact is its folder."""
    from mlflow import pyfunc
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema

    signature = ModelSignature(
        # Doubles all of them: a double can be missing. What only a later stage knows need not be there.
        inputs=Schema([ColSpec("double", one.name, required=one.stage == STAGES[0]) for one in FEATURES]),
        outputs=Schema([ColSpec("double", "prank_likelihood")]),
        params=ParamSchema([ParamSpec("stage", "string", "opening")]),
    )
    with TemporaryDirectory() as scratch:
        # MLflow keeps the folder's own name, and whoever fetches the release must know it.
        inside = Path(scratch) / INSIDE.name
        shutil.copytree(folder, inside)
        info = pyfunc.log_model(
            name=registry.name,
            python_model=str(PYFUNC),
            artifacts={INSIDE.name: str(inside)},
            signature=signature,
            registered_model_name=registry.name,
            pip_requirements=["mlflow", "numpy", "pandas"],
        )
    number = int(info.registered_model_version)
    for name, value in release_tags(release, digest).items():
        registry.set_tag(number, name, value)
    return number


def _flat(document: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in document.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{path}{name}.")
        else:
            yield f"{path}{name}", value


def _revision() -> dict[str, str]:
    """Return which revision of the code stands in the checkout, and whether it was changed; {} without git."""

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", "-C", str(PYFUNC.parent), *words], check=True, capture_output=True, text=True
        ).stdout.strip()

    try:
        return {
            "git_revision": git("rev-parse", "HEAD"),
            "git_changed": str(bool(git("status", "--porcelain"))).lower(),
        }
    except (OSError, subprocess.CalledProcessError):
        return {}


def _packages() -> str:
    return "".join(sorted({f"{one.metadata['Name']}=={one.version}\n" for one in distributions()}))
