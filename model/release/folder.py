"""A release folder: what a training decided, as files that a person can read and a service can trust.

`manifest.json` holds the sha-256 of every other file and is written last: a folder without it is not a release.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, NoReturn

from pydantic_core import to_json

from model.calls.phone_numbers import Numbering, numbering_of
from model.certification.certificate import Certificate, StageProof, certificate_hash
from model.certification.profile import check_profile
from model.errors import ReleaseError, ScorecardError
from model.history.caller_history import VERSION
from model.policy.policy import Policy
from model.scorecard.features import STAGES
from model.scorecard.scorecard import Scorecard

FORMAT = 1
MANIFEST = "manifest.json"
SERVED = ("scorecard.json", "policy.json", "certificate.json")
#: What calls looked like; releases from before there was one have none.
PROFILE = "fingerprint.json"


@dataclass(frozen=True)
class Release:
    """What serving needs of a release; scorecards by stage.

    Parameters
    ----------
    numbering : Numbering
        How callers are read.
    labels : mapping of str to {0, 1}
    fingerprint : str
        `certificate_hash` of what it decides by; a certificate with another one is of another release, and void.
    profile : mapping, optional
        What calls looked like when it was made (`model.certification.profile`).
    """

    name: str
    scorecards: Mapping[str, Scorecard]
    policy: Policy
    certificate: Certificate
    time_zone: str
    numbering: Numbering
    labels: Mapping[str, int]
    manifest: Mapping[str, Any]
    fingerprint: str
    profile: Mapping[str, Any] | None = None

    @property
    def region(self) -> str:
        """ISO 3166 region of numbers without a country code."""
        return self.numbering.region

    def proof(self, stage: str) -> StageProof | None:
        """Return what is proven at a stage; None at one that does not act on the queue."""
        return next((proof for proof in self.certificate.stages if proof.stage == stage), None)


def write_release(folder: Path, files: Mapping[str, bytes], facts: Mapping[str, Any]) -> None:
    """Write a release folder; it appears whole or not at all.

    Parameters
    ----------
    folder : Path
        Must not exist, or be empty, or be an earlier release, which is then replaced; else a ReleaseError.
    files : mapping of str to bytes
        Contents by file name.
    facts : mapping
        What the manifest says besides the files' hashes.
    """
    ours = (folder / MANIFEST).is_file() or (folder.is_dir() and not any(folder.iterdir()))
    if folder.exists() and not ours:
        raise ReleaseError(f"{folder}: exists and is not a release, expected a new folder or an earlier release")
    with _replaced(folder) as part:
        part.mkdir()
        for name, content in files.items():
            _write(part / name, content)
        hashes = {name: sha256(content).hexdigest() for name, content in sorted(files.items())}
        _write(part / MANIFEST, to_bytes({"format": FORMAT, **facts, "files": hashes}))


def copy_release(source: Path, folder: Path) -> None:
    """Copy a release, already checked, byte for byte; it appears whole or not at all, in place of the one before."""
    with _replaced(folder) as part:
        shutil.copytree(source, part)


def read_release(folder: Path) -> Release:
    """Read a release, refusing one that is incomplete, was changed, or is of another version.

    A ReleaseError names the file and the reason.
    """
    manifest = _read_json(folder / MANIFEST, "a release folder has one, written last")
    try:
        if manifest["format"] != FORMAT:
            raise ReleaseError(f"{folder / MANIFEST}: format {manifest['format']}, this version reads {FORMAT}")
        kept = manifest["history_version"]
        if kept != VERSION:
            raise ReleaseError(f"{folder / MANIFEST}: history version {kept}, this version keeps {VERSION}")
        for name in dict.fromkeys((*SERVED, *manifest["files"])):
            _check(folder / name, manifest["files"].get(name))
        cards = _read_json(folder / "scorecard.json")["stages"]
        certificate = (folder / "certificate.json").read_text(encoding="utf-8")
        decides = (folder / name for name in ("scorecard.json", "policy.json"))
        documents = (*(path.read_text(encoding="utf-8") for path in decides), to_json(manifest["params"]).decode())
        return Release(
            name=manifest["release"],
            scorecards={stage: Scorecard.from_json(stage, cards[stage]) for stage in STAGES},
            policy=Policy.from_json(_read_json(folder / "policy.json")),
            certificate=Certificate.from_json(certificate),
            time_zone=manifest["time_zone"],
            numbering=numbering_of(manifest["region"], **manifest["params"].get("callers", {})),
            labels=manifest["labels"],
            manifest=manifest,
            fingerprint=certificate_hash(*documents),
            profile=check_profile(_read_json(folder / PROFILE)) if PROFILE in manifest["files"] else None,
        )
    except ScorecardError as error:
        raise ReleaseError(f"{folder / 'scorecard.json'}: {error}") from error
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise ReleaseError(f"{folder}: is not as this version writes it: {type(error).__name__}: {error}") from error


@contextmanager
def _replaced(folder: Path) -> Iterator[Path]:
    """Yield where a folder is to be made, which then takes the place of the one before."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    part, old = scratch / "new", scratch / "old"
    try:
        yield part
        if folder.exists():
            folder.rename(old)
        try:
            part.rename(folder)
        except OSError:
            if old.exists():
                old.rename(folder)
            raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def to_bytes(document: Any) -> bytes:
    """Return strict JSON that a person can read; NaN and infinity are refused."""
    return (json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _check(path: Path, expected: str | None) -> None:
    if expected is None:
        raise ReleaseError(f"{path}: is not named in {MANIFEST}")
    if not path.is_file():
        raise ReleaseError(f"{path}: is missing, but {MANIFEST} names it")
    if sha256(path.read_bytes()).hexdigest() != expected:
        raise ReleaseError(f"{path}: was changed after the release was written")


def _finite(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number of JSON")


def _read_json(path: Path, hint: str = "") -> Any:
    try:
        return json.loads(path.read_bytes(), parse_constant=_finite)
    except FileNotFoundError:
        raise ReleaseError(f"{path}: there is no such file" + (f"; {hint}" if hint else "")) from None
    except (OSError, ValueError) as error:
        raise ReleaseError(f"{path}: cannot be read: {error}") from error


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
