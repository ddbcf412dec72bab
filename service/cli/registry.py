"""What a data scientist does with the registry of releases: `saring register`, `releases`, `promote` and `rollback`."""

from datetime import UTC, datetime
from getpass import getuser
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer

from model.errors import PromotionError, ReleaseError
from service.cli.options import Corrections, NamesAndValues, read_log
from service.cli.output import Bar, print_comparison, print_releases

Name = Annotated[str, typer.Option("--model", help="Name of the registered model.")]


def register(
    release: Annotated[Path, typer.Option(help="Release folder.")],
    evaluation: Annotated[Path | None, typer.Option(help="Folder that `saring evaluate` wrote.")] = None,
    name: Name = "saring",
) -> None:
    """Track a release as a run of MLflow and register it: as challenger, or as champion when there is none yet."""
    from model.release.registry import Registry
    from model.release.tracking import register as registered

    registry = Registry(name)
    with Bar(f"registering {release}"):
        version, new = registered(release, evaluation, registry)
    where = f"version {version.number} of {registry.name} in {registry.uri}"
    told = ", ".join(version.aliases) or "without an alias"
    print(f"{version.release}: {where}, {told}" if new else f"{version.release} stands there already: {where}, {told}")


def releases(name: Name = "saring") -> None:
    """List the releases of the registry: which one serves, which one waits, and why."""
    from model.release.registry import Registry

    registry = Registry(name)
    print_releases(registry.versions(), registry.uri)


def promote(
    which: Annotated[str, typer.Argument(help="Alias or number of the version that is to serve.")] = "challenger",
    calls: Annotated[
        Path | None, typer.Option(help="Call log to compare on, with calls later than both releases' training.")
    ] = None,
    corrections: Corrections = None,
    mapping: NamesAndValues = None,
    params: Annotated[
        Path | None, typer.Option(help="File with the margins, under `promotion`; params.yaml, if there is one.")
    ] = None,
    force: Annotated[
        str | None, typer.Option(help="Promote whatever the gate says; the reason is kept in the registry.")
    ] = None,
    name: Name = "saring",
) -> None:
    """Let a release take over when it is not worse than the champion, by more than the margins, for genuine callers."""
    from model.release.promotion_margins import read_margins
    from model.release.registry import Registry

    if force is not None and not force.strip():
        raise PromotionError("--force: nothing is said, expected the reason in words")
    margins = read_margins(params)
    registry = Registry(name)
    version = registry.find(which)
    log, later = read_log(calls, corrections, mapping) if calls else (None, None)
    with Bar(f"comparing {version.release} with the champion"):
        try:
            found = _compared(registry, version, log, later, margins)
        except (PromotionError, ReleaseError) as error:
            if force is None or isinstance(error, ReleaseError):
                raise
            said, passed = str(error), False
        else:
            print_comparison(found, margins)
            said, passed = found.sentence(), found.passed
    if not passed and force is None:
        raise PromotionError(said)
    because = said if force is None else f"forced: {force.strip()}. The gate: {said}"
    registry.promote(version, because, forced=force is not None, by=getuser())
    print(f"version {version.number} ({version.release}) is the champion: {because}")


def rollback(
    because: Annotated[str, typer.Option(help="The reason, which is kept in the registry.")] = "no reason was given",
    name: Name = "saring",
) -> None:
    """Let the champion before this one serve again; services that follow the registry do so within a minute."""
    from model.release.registry import Registry

    going, coming = Registry(name).rollback(because, by=getuser())
    print(f"version {coming.number} ({coming.release}) is the champion again, instead of {going.number}: {because}")


def _compared(registry: Any, version: Any, log: Any, later: Any, margins: Any) -> Any:
    """Fetch both releases and ask the gate."""
    from model.release.folder import read_release
    from model.release.promotion import compare
    from model.release.registry import CHAMPION

    def fetched(one: Any) -> Any:
        with TemporaryDirectory() as folder:
            return read_release(registry.fetch(one, Path(folder)))

    champion = next((one for one in registry.versions() if CHAMPION in one.aliases), None)
    if champion is not None and champion.number == version.number:
        raise PromotionError(f"version {version.number} ({version.release}) is the champion already")
    challenger = fetched(version)
    before = fetched(champion) if champion is not None else None
    return compare(before, challenger, log, later, margins=margins, now=datetime.now(UTC))


def add_to(app: typer.Typer) -> None:
    """Add these commands to the one command."""
    for command in (register, releases, promote, rollback):
        app.command()(command)
