"""The service's settings, from the environment: SARING_DATABASE, SARING_RELEASE and so on."""

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, IPvAnyNetwork
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, SettingsConfigDict

from model.policy.arrival import CLOCK_TOLERANCE_S


def _prefix(path: str) -> str:
    """Return a path that stands before others, without a slash at its end."""
    bare = path.rstrip("/")
    if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)*", bare):
        raise PydanticCustomError("path_prefix", "expected a path such as /saring")
    return bare


class Settings(BaseSettings):
    """What a deployment decides; docs/service.md says what each is for.

    What a release decided travels inside the release.
    """

    model_config = SettingsConfigDict(env_prefix="SARING_", extra="ignore")

    release: Path = Path("release")
    registry: str | None = None
    registry_folder: Path = Path("from-registry")
    database: str = "sqlite:///saring.db"
    key_file: Path = Path("saring.key")
    secret_file: Path | None = None
    journal: Path = Path("journal")
    journal_mib: Annotated[int, Field(ge=1, le=4_096)] = 64
    mode: Literal["pbx", "board"] = "pbx"
    insecure_local: bool = False
    hosts: list[str] = []
    origins: list[str] = []
    root_path: Annotated[str, AfterValidator(_prefix)] = ""
    proxies: list[IPvAnyNetwork] = []
    deadline_ms: Annotated[float, Field(ge=5.0, le=10_000.0)] = 50.0
    clock_skew_s: Annotated[float, Field(ge=0.0, le=86_400.0)] = 600.0
    clock_tolerance_s: Annotated[float, Field(ge=0.0, le=3_600.0)] = CLOCK_TOLERANCE_S
    waiting_timeout_s: Annotated[float, Field(ge=10.0)] = 900.0
    answered_timeout_s: Annotated[float, Field(ge=60.0)] = 7_200.0
    taken_timeout_s: Annotated[float, Field(ge=1.0)] = 30.0
    random_share: Annotated[float, Field(ge=0.0, le=0.5)] | None = None
    body_limit: Annotated[int, Field(ge=1_024)] = 65_536
    batch_limit: Annotated[int, Field(ge=65_536)] = 8_388_608
    callers_in_memory: Annotated[int, Field(ge=1_000)] = 100_000
    calls_in_memory: Annotated[int, Field(ge=1_000)] = 20_000
    last_digits: Annotated[int, Field(ge=0, le=4)] = 0
    replay: bool = False
    network_attests: bool = False
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["text", "json"] = "text"
