"""What a data scientist does: `saring train`, `score`, `evaluate`, `export` and `drift`."""

from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from model.errors import ReleaseError
from service.cli.options import (
    Calls,
    Corrections,
    Database,
    NamesAndValues,
    ReleaseFolder,
    open_database,
    parse_timestamp,
    read_log,
)
from service.cli.output import Bar, print_drift, print_ranking


class Stage(StrEnum):
    """What is known when a call is scored."""

    RING = "ring"
    OPENING = "opening"
    ENDED = "ended"


def train(
    calls: Annotated[
        list[Path],
        typer.Option(help="Call log: CSV, Parquet or an Excel workbook; may be given several times."),
    ],
    out: Annotated[Path, typer.Option(help="Release folder to write.")],
    params: Annotated[Path | None, typer.Option(help="Settings of training.")] = None,
    until: Annotated[str | None, typer.Option(help="Train on what was known at this moment, with its offset.")] = None,
    corrections: Annotated[list[Path] | None, typer.Option(help="Later dispositions of the logs' calls.")] = None,
    mapping: NamesAndValues = None,
    centre: Annotated[
        str | None, typer.Option("--for", help="The centre to calibrate, certify and measure for; all are learnt from.")
    ] = None,
) -> None:
    """Train on a call log, or on several, and write a release."""
    from model.params import read_params
    from model.release.folder import write_release
    from model.release.pipeline import make_release

    settings = read_params(params)
    moment = parse_timestamp("--until", until) if until else None
    log, later = read_log(calls, corrections, mapping)
    now = datetime.now(UTC)
    with Bar("training"):
        made = make_release(log, settings, now, moment, later, centre=centre)
        facts = made.facts(now)
        write_release(out, made.files(), facts)
    print(f"release {facts['release']} in {out}")
    counts = made.metrics["genuine_calls"]
    print(
        f"genuine calls: {counts['fit']:,} fitted on, {counts['calibrate']:,} calibrated on, "
        f"{counts['measured']:,} measured on, {counts['certify']:,} kept for the certificate"
    )
    print_ranking(made.metrics["stages"])
    print(made.certificate.sentence("en"))


def score(
    release: ReleaseFolder,
    calls: Calls,
    out: Annotated[Path, typer.Option(help="Where the scores go, .parquet or .csv.")],
    stage: Annotated[Stage, typer.Option(help="What is known of each call.")] = Stage.OPENING,
    corrections: Corrections = None,
    mapping: NamesAndValues = None,
    protected: Annotated[Path | None, typer.Option(help="Protected numbers, one a line.")] = None,
) -> None:
    """Score every call of a log, each with its history as known when it arrived."""
    from model.calls.call_log import write_log
    from model.release.folder import read_release
    from model.release.scored_log import score_log

    opened = read_release(release)
    numbers = protected.read_text(encoding="utf-8").split("\n") if protected else []
    log, later = read_log(calls, corrections, mapping)
    with Bar(f"scoring {len(log):,} calls"):
        scores = score_log(log, opened, stage.value, later, numbers)
        write_log(scores, out)
    counts = ", ".join(f"{count:,} {band}" for band, count in scores["band"].value_counts().items())
    print(f"{len(scores):,} calls scored in {out}: {counts}")


def evaluate(
    release: ReleaseFolder,
    calls: Calls,
    out: Annotated[Path, typer.Option(help="Folder for metrics.json, report.html, headline.json and reliability.csv.")],
    since: Annotated[
        str | None, typer.Option("--from", help="Evaluate calls from this moment on; default: the release's until.")
    ] = None,
    corrections: Corrections = None,
    mapping: NamesAndValues = None,
    seeds: Annotated[int, typer.Option(min=1, help="How often weeks and patience are drawn.")] = 20,
) -> None:
    """Measure a release on later calls: ranking, calibration, waits and losses, fairness."""
    from pandas import DataFrame

    from model.calls.call_log import write_log
    from model.evaluation.evaluation import Effort, headline, reliability
    from model.release.folder import read_release, to_bytes
    from model.release.pipeline import evaluate_release
    from model.report.render import report

    opened = read_release(release)
    moment = parse_timestamp("--from", since) if since else None
    log, later = read_log(calls, corrections, mapping)
    with Bar(f"evaluating {opened.name}"):
        metrics = evaluate_release(opened, log, later, since=moment, effort=Effort(seeds=seeds))
        page = report(metrics, opened.certificate, opened.scorecards, opened.policy, opened.manifest)
    out.mkdir(parents=True, exist_ok=True)
    (out / "metrics.json").write_bytes(to_bytes(metrics))
    (out / "report.html").write_text(page, encoding="utf-8")
    (out / "headline.json").write_bytes(to_bytes(headline(metrics)))
    write_log(DataFrame(reliability(metrics)), out / "reliability.csv")
    window = metrics["window"]
    print(f"{window['closed']:,} closed calls evaluated, {window['genuine']:,} of them genuine: {out / 'report.html'}")
    print_ranking(metrics["stages"])


def export(
    out: Annotated[Path, typer.Option(help="Where the call log goes, .parquet or .csv.")],
    database: Database = None,
) -> None:
    """Write the service's own log, and later dispositions beside it, for training. The service may go on running."""
    from service.maintenance.log_export import count, export_log

    beside = out.with_name(f"{out.stem}.corrections{out.suffix}")
    with open_database(database) as engine, Bar(f"exporting to {out}", count(engine)) as bar:
        written = export_log(engine, out, beside, bar.advance)
    print(f"{written.calls:,} calls in {out}, {written.corrections:,} corrections in {beside}")


def drift(
    release: ReleaseFolder,
    calls: Annotated[Path, typer.Option(help="Call log, with the calls before as their histories.")],
    corrections: Corrections = None,
    mapping: NamesAndValues = None,
    since: Annotated[
        str | None, typer.Option("--from", help="Look at calls from this moment on; default: the last weeks, 1 to 4.")
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Show every measure, not only those nearest their limit.")
    ] = False,
    fail: Annotated[bool, typer.Option("--fail", help="Exit with 1 when there is an alarm.")] = False,
) -> None:
    """Say whether calls still look like those that a release was made from."""
    from model.certification.drift import measure_drift
    from model.release.drift_samples import latest_calls
    from model.release.folder import read_release

    opened = read_release(release)
    if opened.profile is None:
        raise ReleaseError(f"{release}: was made before releases had a fingerprint; train again to watch for drift")
    log, later = read_log(calls, corrections, mapping)
    with Bar(f"looking at {calls}"):
        start = parse_timestamp("--from", since) if since else None
        found = measure_drift(opened.profile, latest_calls(log, opened, later, since=start))
    print_drift(found, every=every)
    if fail and found.alarm:
        raise typer.Exit(1)


def add_to(app: typer.Typer) -> None:
    """Add these commands to the one command."""
    for command in (train, score, evaluate, export, drift):
        app.command()(command)
