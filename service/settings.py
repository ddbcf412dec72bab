"""The service's settings, from the environment: SARING_DATABASE, SARING_RELEASE and so on."""

from pathlib import Path
from typing import Annotated

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """What a deployment decides. What a release decided travels inside the release.

    Parameters
    ----------
    release : Path
        Folder of the release to serve.
    database : str
        SQLAlchemy URL of the store.
    key_file : Path
        Key of the hash of callers' numbers; made on the first start, never kept in the database.
    clock_skew_s : float
        How far ahead of this machine's clock a received_at may be.
    body_limit : int
        Bytes of a request's body.
    callers_in_memory, calls_in_memory : int
        How many of the most recently used are kept at hand.
    """

    model_config = SettingsConfigDict(env_prefix="SARING_", extra="ignore")

    release: Path = Path("release")
    database: str = "sqlite:///saring.db"
    key_file: Path = Path("saring.key")
    clock_skew_s: Annotated[float, Field(ge=0.0, le=86_400.0)] = 600.0
    body_limit: Annotated[int, Field(ge=1_024)] = 65_536
    callers_in_memory: Annotated[int, Field(ge=1_000)] = 100_000
    calls_in_memory: Annotated[int, Field(ge=1_000)] = 20_000
