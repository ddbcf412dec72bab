"""The registry of releases: MLflow's registered model `saring`, whose aliases say which release serves and which waits.

`champion` is what services follow; `challenger` is what they score in shadow. Which versions were champion, one after
the other, stands in a tag of the registered model, so that a step back needs no memory but the registry's.
"""

import os
import re
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from model.errors import PromotionError, RegistryError, SaringError
from model.release.folder import MANIFEST

NAME, CHAMPION, CHALLENGER = "saring", "champion", "challenger"
DEFAULT_URI = "sqlite:///mlflow.db"
#: Where a release lies inside a registered version, as `model.release.tracking` writes it.
INSIDE = Path("artifacts") / "release"
#: Seconds in which a registry that is reached over the network has to answer first.
PATIENCE_S = 4
_PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}
_CHAMPIONS, _REMEMBERED = "champions", 100


class Address(NamedTuple):
    """What `models:/saring@champion` names: a registered model, and an alias of it or the number of a version."""

    name: str
    which: str

    @classmethod
    def of(cls, text: str) -> "Address":
        """Read an address; a RegistryError when it is none.

        Examples
        --------
        >>> Address.of("models:/saring@champion"), Address.of("models:/saring/3").which
        (Address(name='saring', which='champion'), '3')
        """
        found = re.fullmatch(r"models:/([\w.-]+)(?:@([\w.-]+)|/(\d+))", text)
        if not found:
            raise RegistryError(f"--registry: {text!r}, expected an address like models:/saring@champion")
        return cls(found[1], found[2] or found[3])


@dataclass(frozen=True)
class Version:
    """One release in the registry.

    Parameters
    ----------
    run_id : str
        The run that it was tracked in.
    tags : dict of str to str
        What was put down beside it: `until`, `certificate_until`, `promoted_at`, `promoted_because` and so on.
    """

    number: int
    release: str
    registered_at: datetime
    aliases: tuple[str, ...]
    run_id: str
    tags: dict[str, str]


class Registry:
    """The registered model, at `uri`, else MLFLOW_TRACKING_URI, else in `mlflow.db` in this folder."""

    def __init__(self, name: str = NAME, uri: str | None = None) -> None:
        self.name, self.uri = name, uri or os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_URI

    @cached_property
    def _client(self) -> Any:
        """MLflow's client; the first look at what is out of reach takes seconds, and not the minutes of its retries."""
        from mlflow import MlflowClient

        place = urlsplit(self.uri)
        scheme = place.scheme.partition("+")[0]
        hasty: dict[str, str] = {}
        if scheme in ("http", "https"):
            hasty = {"MLFLOW_HTTP_REQUEST_TIMEOUT": f"{PATIENCE_S}", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
            hasty = {name: value for name, value in hasty.items() if name not in os.environ}
        elif place.hostname and (port := place.port or _PORTS.get(scheme)):
            socket.create_connection((place.hostname, port), PATIENCE_S).close()
        os.environ.update(hasty)
        try:
            client = MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)
            client.search_registered_models(max_results=1)
        finally:
            for name in hasty:
                del os.environ[name]
        return client

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Raise what MLflow raises as a RegistryError of one sentence, without a password."""
        place = re.sub(r"//[^/@]*@", "//", self.uri)
        try:
            yield
        except SaringError:
            raise
        except Exception as error:
            first: BaseException = error
            while (before := first.__cause__ or first.__context__) is not None:
                first = before
            if isinstance(first, OSError):
                raise RegistryError(f"{place}: the registry is out of reach: {first}") from error
            if versions := re.search(r"found version (\w+), but expected (\w+)", str(error)):
                raise RegistryError(
                    f"{place}: its tables are those of another version of MLflow ({versions[1]}; {versions[2]} is "
                    "expected): use that version, or upgrade them with `mlflow db upgrade`, after a backup"
                ) from error
            said = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
            raise RegistryError(f"{place}: the registry does not do that: {said}") from error

    def versions(self) -> list[Version]:
        """Return every version, the newest first; none when nothing was registered yet."""
        with self._errors():
            rows = list(self._client.search_model_versions(f"name = '{self.name}'"))
            aliases: dict[int, list[str]] = {}
            for alias, number in (self._model().aliases if rows else {}).items():
                aliases.setdefault(int(number), []).append(alias)
            found = [_version(row, tuple(sorted(aliases.get(int(row.version), ())))) for row in rows]
        return sorted(found, key=lambda one: -one.number)

    def find(self, which: str) -> Version:
        """Return the version of an alias or of a number; a RegistryError when there is none."""
        every = self.versions()
        for one in every:
            if which in one.aliases or which == str(one.number):
                return one
        there = ", ".join(f"{one.number}{_marks(one)}" for one in every) or "none yet: saring register adds one"
        raise RegistryError(f"{self.uri}: {self.name} has no version {which}; there are: {there}")

    def fetch(self, version: Version, folder: Path) -> Path:
        """Copy a version's release to `folder/release`, unchecked, and return that path; else a RegistryError."""
        from mlflow.artifacts import download_artifacts

        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        scratch = Path(tempfile.mkdtemp(prefix=".fetched-", dir=folder))
        try:
            with self._errors():
                source = self._client.get_model_version_download_uri(self.name, str(version.number))
                got = Path(download_artifacts(artifact_uri=source, dst_path=str(scratch), tracking_uri=self.uri))
            if not (got / INSIDE / MANIFEST).is_file():
                raise RegistryError(f"version {version.number} of {self.name} holds no release: {INSIDE / MANIFEST}")
            shutil.move(got / INSIDE, folder / "release")
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        return folder / "release"

    def assign_alias(self, number: int) -> Version:
        """Make a new version the challenger, or the champion when there is none yet."""
        champion = self._holder(CHAMPION)
        with self._errors():
            self._client.set_registered_model_alias(self.name, CHALLENGER if champion else CHAMPION, str(number))
            if champion is None:
                self._remember([number])
                self._put(number, promoted_at=_now(), promoted_because="the first release")
        return self.find(str(number))

    def set_tag(self, number: int, name: str, value: str) -> None:
        """Put something down beside a version."""
        with self._errors():
            self._client.set_model_version_tag(self.name, str(number), name, value)

    def promote(self, version: Version, because: str, *, forced: bool, by: str) -> None:
        """Make a version the champion, and put down why: what the comparison said, or who forced it."""
        champion = self._holder(CHAMPION)
        if champion == version.number:
            raise PromotionError(f"version {version.number} ({version.release}) is the champion already")
        with self._errors():
            # What is put down comes first: an alias without a reason would be worse than a reason without an alias.
            notes = {"promoted_at": _now(), "promoted_because": because[:4_900], "promoted_by": by}
            self._put(version.number, **notes, promoted_over=str(champion or ""), promotion_forced=str(forced).lower())
            self._remember([*self._champions(champion), version.number])
            self._client.set_registered_model_alias(self.name, CHAMPION, str(version.number))
            if self._holder(CHALLENGER) == version.number:
                self._client.delete_registered_model_alias(self.name, CHALLENGER)

    def rollback(self, because: str, *, by: str) -> tuple[Version, Version]:
        """Give the place of the champion back to the one before it; return the one that goes and the one that comes.

        A PromotionError when there was none before it.
        """
        going = self.find(CHAMPION)
        before = self._champions(going.number)[:-1]
        if not before:
            raise PromotionError(f"version {going.number} ({going.release}) is the first champion: none came before it")
        coming = self.find(str(before[-1]))
        with self._errors():
            self._put(going.number, rolled_back_at=_now(), rolled_back_because=because[:4_900], rolled_back_by=by)
            self._remember(before)
            self._client.set_registered_model_alias(self.name, CHAMPION, str(coming.number))
        return going, coming

    def _champions(self, champion: int | None) -> list[int]:
        """Return who was champion, one after the other, up to now: an alias may be moved by other hands."""
        kept = [int(word) for word in self._model().tags.get(_CHAMPIONS, "").split()]
        return kept if champion is None or kept[-1:] == [champion] else [*kept, champion]

    def _remember(self, numbers: list[int]) -> None:
        self._client.set_registered_model_tag(self.name, _CHAMPIONS, " ".join(map(str, numbers[-_REMEMBERED:])))

    def _holder(self, alias: str) -> int | None:
        with self._errors():
            number = self._model().aliases.get(alias)
        return None if number is None else int(number)

    def _put(self, number: int, **tags: str) -> None:
        for name, value in tags.items():
            self.set_tag(number, name, value)

    def _model(self) -> Any:
        return self._client.get_registered_model(self.name)


def _version(row: Any, aliases: tuple[str, ...]) -> Version:
    at = datetime.fromtimestamp(row.creation_timestamp / 1e3, UTC)
    tags = dict(row.tags)
    return Version(int(row.version), tags.get("release", "?"), at, aliases, row.run_id or "", tags)


def _marks(version: Version) -> str:
    return f" ({', '.join(version.aliases)})" if version.aliases else ""


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
