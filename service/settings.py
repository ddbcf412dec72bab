"""The service's settings, from the environment: SARING_DATABASE, SARING_RELEASE and so on."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """What a deployment decides. What a release decided travels inside the release.

    Parameters
    ----------
    release : Path
        Folder of the release to serve.
    registry : str, optional
        Address in MLflow's registry, such as models:/saring@champion, to follow instead of a folder.
    registry_folder : Path
        Where the copies of its champion and challenger are kept.
    database : str
        SQLAlchemy URL of the store: SQLite for one process, PostgreSQL for several on one history.
    key_file : Path
        Keys of the hash of callers' numbers; made on the first start, never kept in the database. Every process of
        one history needs the same file.
    secret_file : Path, optional
        What sessions and tokens are signed with; made on the first start, beside the key file when not named.
    journal : Path
        Folder for what the store cannot take at the moment; best on another disk than a SQLite store.
    journal_mib : int
        Size of the journal, which is set aside at the start.
    mode : {"pbx", "board"}
        Whether the PBX delivers the calls, or operators take them from the board.
    insecure_local : bool
        Whether anybody on this machine may do everything; the service then listens on loopback only.
    hosts : list of str
        Names under which the service may be asked (JSON); loopback names always may.
    origins : list of str
        Other sites whose pages may ask (JSON), such as https://cad.example.
    deadline_ms : float
        A score is answered within this time, whatever the store does.
    clock_skew_s : float
        How far ahead of this machine's clock a received_at may be.
    waiting_timeout_s, answered_timeout_s : float
        A call of which nothing is heard for so long leaves the queue, or frees its operator.
    taken_timeout_s : float
        A call that an operator has taken who is gone for so long waits again.
    random_share : float, optional
        Share of the calls that would be deferred and are not; by default 2 %, more where genuine calls are few.
    body_limit, batch_limit : int
        Bytes of a request's body, and of a batch's.
    callers_in_memory, calls_in_memory : int
        How many of the most recently used are kept at hand.
    last_digits : int
        How many last digits of a number are kept with a call, for operators to see: 0 to 4.
    replay : bool
        Whether logs may be told by their own clock (the header `Saring-Clock`), as on a copy or for a rehearsal. Never
        where calls are scored live.
    network_attests : bool
        Whether the network attests the numbers of calls (STIR/SHAKEN) and the intake system tells it. Then a call is
        deferred only when its own number and those of its earlier calls were attested in full (A).
    log_level : str
    log_format : {"text", "json"}
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
    deadline_ms: Annotated[float, Field(ge=5.0, le=10_000.0)] = 50.0
    clock_skew_s: Annotated[float, Field(ge=0.0, le=86_400.0)] = 600.0
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
