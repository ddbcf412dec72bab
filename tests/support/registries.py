"""Registries for tests: a real MLflow on a SQLite file, and releases that differ a little from the one of the tests."""

import atexit
import json
import logging
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow import MlflowClient
from pydantic_core import to_json

from model.certification.certificate import certificate_hash
from model.release.folder import MANIFEST, to_bytes, write_release
from model.release.registry import Registry, Version
from model.release.tracking import register

#: MLflow's, of SQLAlchemy 2.1.
QUIET = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated")


@cache
def _empty_database() -> Path:
    """Make MLflow's tables once: that takes it ten seconds and more."""
    file = Path(tempfile.mkdtemp(prefix="saring-mlflow-")) / "mlflow.db"
    atexit.register(shutil.rmtree, file.parent, ignore_errors=True)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    MlflowClient(f"sqlite:///{file}").search_experiments()
    return file


@contextmanager
def registry_in(folder: Path) -> Iterator[Registry]:
    """Give an empty registry in a folder, where its artifacts go too."""
    shutil.copy(_empty_database(), folder / "mlflow.db")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    # MLflow puts artifacts beside the working folder.
    with chdir(folder), pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", uri)
        mlflow.set_tracking_uri(uri)
        try:
            yield Registry(uri=uri)
        finally:
            mlflow.set_tracking_uri(None)


def another(release: Path, folder: Path, name: str, change: Callable[[dict[str, Any]], None] | None = None) -> Path:
    """Write the release once more under another name; `change` may alter its JSON documents, by file name.

    The certificate is made out for what the release then decides by.
    """
    facts = json.loads((release / MANIFEST).read_bytes())
    facts = {key: value for key, value in facts.items() if key not in ("files", "format")} | {"release": name}
    files = {path.name: path.read_bytes() for path in release.iterdir() if path.name != MANIFEST}
    if change is not None:
        documents = {file: json.loads(content) for file, content in files.items() if file.endswith(".json")}
        change(documents)
        decides = [to_bytes(documents[file]).decode() for file in ("scorecard.json", "policy.json")]
        documents["certificate.json"]["fingerprint"] = certificate_hash(*decides, to_json(facts["params"]).decode())
        files |= {file: to_bytes(document) for file, document in documents.items()}
    write_release(folder, files, facts)
    return folder


def added(registry: Registry, release: Path) -> Version:
    """Register a release without an evaluation."""
    version, new = register(release, None, registry)
    assert new
    return version
