"""What an export calls things: `mapping.toml`, so that a log in other names and words needs no script."""

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from zoneinfo import available_timezones

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError, model_validator

from model.calls.columns import COLUMNS
from model.calls.grammar import DecimalSign, match_word
from model.errors import MappingError, list_problems

_COLUMNS = {column.name: column for column in COLUMNS}
#: What a value is mapped to that says nothing.
NOTHING = ""


def _zone(name: str) -> str:
    if name not in available_timezones():
        raise ValueError("expected a name of the time zone database, like Asia/Jakarta")
    return name


class Mapping(BaseModel):
    """What an export calls the columns and values of the contract; an empty one changes nothing.

    Parameters
    ----------
    columns : dict of str to str
        Of a column of the contract, or one named `x_*`, its name in the file.
    values : dict of str to dict of str to str
        Of a column of the contract, what its values in the file (in any casing) are; "" says nothing.
    other_columns : {"refuse", "leave_out", "keep"}
        What becomes of columns that are neither the contract's nor named here; kept ones are named `x_*`.
    time_zone : str, optional
        Where the clocks stood that wrote times without an offset.
    double_hour : {"first", "second"}, optional
        Which one a time is of the hour that comes twice when clocks go back; without it such a time is refused.
    time_format : str, optional
        Of times that are written in another way than the contract's, in the codes of `strftime`.
    decimal : {".", ","}, optional
        The decimal sign of numbers, where the file does not say it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    columns: dict[str, str] = {}
    values: dict[str, dict[str, str]] = {}
    other_columns: Literal["refuse", "leave_out", "keep"] = "refuse"
    time_zone: Annotated[str, AfterValidator(_zone)] | None = None
    double_hour: Literal["first", "second"] | None = None
    time_format: str | None = None
    decimal: DecimalSign | None = None

    @model_validator(mode="after")
    def _names_what_there_is(self) -> Self:
        for name in self.columns:
            if name not in _COLUMNS and not name.startswith("x_"):
                raise ValueError(f"columns.{name}: expected a column of the contract, or one named x_...")
        for name, words in self.values.items():
            if name not in _COLUMNS:
                raise ValueError(f"values.{name}: expected a column of the contract")
            column = _COLUMNS[name]
            for theirs, ours in words.items():
                if column.choices and ours != NOTHING and match_word(ours, column.choices) is None:
                    raise ValueError(
                        f'values.{name}."{theirs}": {ours!r}, expected {column.expected}, or "" for nothing'
                    )
        if self.double_hour and not self.time_zone:
            raise ValueError("double_hour: expected time_zone beside it")
        return self

    def words_of(self, column: str) -> dict[str, str]:
        """Return by each value of a column in the file, in lower case, what it is."""
        return {theirs.strip().casefold(): ours for theirs, ours in self.values.get(column, {}).items()}


AS_IS = Mapping()


def read_mapping(path: Path) -> Mapping:
    """Read a mapping.

    Raises
    ------
    MappingError
        With all that is wrong with it in one line.
    """
    try:
        return Mapping.model_validate(tomllib.loads(path.read_text(encoding="utf-8-sig")))
    except OSError as error:
        raise MappingError(f"{path}: cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise MappingError(f"{path}: cannot be read as TOML: {error}") from error
    except ValidationError as error:
        raise MappingError(f"{path}: {_told(error)}") from None


def _told(error: ValidationError) -> str:
    """Return what is wrong with a mapping; an unknown key is told with the known ones."""
    found: list[Any] = error.errors(include_url=False)
    unknown = [str(one["loc"][-1]) for one in found if one["type"] == "extra_forbidden"]
    if unknown:
        return f"unknown key {', '.join(unknown)}; expected {', '.join(Mapping.model_fields)}"
    if found[0]["type"] == "value_error" and not found[0]["loc"]:
        return str(found[0]["ctx"]["error"])
    return list_problems(found)
