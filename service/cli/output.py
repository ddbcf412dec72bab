"""What the command shows on a terminal."""

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn

#: So much of what did not move is shown, and so many of a long list of callers.
SHOWN = 5
#: So many of the texts that show no number.
MOST_TEXTS = 20


class Bar:
    """A bar on a terminal while long work goes on, on standard error; nothing when that is not a terminal.

    Without the number of steps, `total`, it only shows that work goes on.
    """

    def __init__(self, text: str, total: int | None = None) -> None:
        console = Console(stderr=True)
        columns: list[ProgressColumn] = [TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()]
        if total is not None:
            columns.insert(2, TaskProgressColumn())
        self._bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._bar.add_task(text, total=total)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def advance(self, steps: int) -> None:
        """Move the bar on."""
        self._bar.advance(self._task, steps)


def counted(count: int, noun: str) -> str:
    """Return a count with its noun.

    Examples
    --------
    >>> counted(1, "call"), counted(2_000, "call")
    ('1 call', '2,000 calls')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def list_problems(broken: Any) -> None:
    """Print every problem of a `BrokenLogError`, grouped by column and counted."""
    problems = broken.problems
    print(f"{broken.path}: {counted(len(problems), 'problem')}")
    for (column, expected), rows in problems.groupby(["column", "expected"], sort=False):
        print(f"\n{column}: {len(rows):,}, expected {expected}")
        for line, value in rows[["line", "value"]].itertuples(index=False):
            place = f"line {line:,}" if line else "the file"
            print(f"  {place:<14} {'(nothing)' if value is None else value}")
    if not problems["line"].all() or problems["expected"].str.startswith("a time with an offset").any():
        print("\nan export with names, words or local times of its own is read by --map (docs/call-log.md)")


def print_callers(counts: Any) -> None:
    """Print who the callers of a log were read as, from `model.calls.caller_counts.count_callers`."""
    numbers = int(counts.callers.sum())
    print(f"{counted(numbers, 'number')} in {counted(counts.spellings, 'spelling')}")
    for shape, callers in counts.callers.items():
        print(f"  {shape:<14}{callers:>12,}  in {counted(int(counts.calls[shape]), 'call')}")
    if len(counts.nobody):
        print(f"calls that show no number: {int(counts.nobody.sum()):,}")
        for text, calls in counts.nobody.head(MOST_TEXTS).items():
            print(f"  {text or '(empty)':<32}{calls:>12,}")
        if len(counts.nobody) > MOST_TEXTS:
            print(f"  and {len(counts.nobody) - MOST_TEXTS:,} other texts")
    if numbers:
        print("the busiest (a line that many telephones share belongs under callers: shared in params.yaml):")
        _print_shown(counts.busiest)
    if len(counts.respelt):
        many = len(counts.respelt) > SHOWN
        print(f"written in more than one way: {len(counts.respelt):,}{', of them' if many else ''}")
        _print_shown(counts.respelt.head(SHOWN))


def _print_shown(callers: Any) -> None:
    for caller, shape, calls, spellings in callers.itertuples(index=False):
        print(f"  {caller:<14}{counted(calls, 'call'):>18} in {counted(spellings, 'spelling')}, {shape}")


def print_ranking(stages: Mapping[str, Any]) -> None:
    """Print how well each stage of an evaluation ranks."""
    for stage in ("ring", "opening", "ended"):
        auc, precision = stages[stage]["auc"], stages[stage]["average_precision_genuine"]
        if auc is not None:
            print(f"  {stage:<8} AUC {auc:.3f}, average precision of genuine {precision:.3f}")


def print_drift(drift: Any, *, every: bool) -> None:
    """Print what a look at the latest calls found: a sentence, then what came nearest to its limit, or went beyond."""
    print(drift.sentence("en"))
    shown = [one for place, one in enumerate(drift.findings) if every or one.moved or place < SHOWN]
    if not shown:
        return
    print(f"\n{'':<8}{'moved':>7}{'limit':>7}  measure")
    for one in shown:
        numbers = f"{one.size:>7.2f}{one.limit:>7.2f}" if one.size is not None else f"{'':>14}"
        print(
            f"{'MOVED' if one.moved else 'steady' if one.limit else '-':<8}{numbers}  {one.name}: {one.meaning['en']}"
        )
        print(f"{'':<24}{one.change['en']}")
    if len(shown) < len(drift.findings):
        print(f"\nand {len(drift.findings) - len(shown)} more, none of them moved; --all shows them")


def print_releases(versions: Sequence[Any], where: str) -> None:
    """Print the versions of the registry, the newest first, each with what was put down beside it."""
    if not versions:
        print(f"{where}: nothing is registered yet; saring register adds a release")
        return
    print(f"{'':<5}{'release':<24}{'alias':<12}{'registered':<18}{'knows until':<18}certificate until")
    for one in versions:
        until, certificate = (one.tags.get(name, "")[:10] for name in ("until", "certificate_until"))
        aliases = ", ".join(one.aliases)
        print(
            f"{one.number:<5}{one.release:<24}{aliases:<12}{one.registered_at:%Y-%m-%d %H:%M}  {until:<18}{certificate}"
        )
        for what in ("promoted", "rolled_back"):
            if f"{what}_at" in one.tags:
                who = f" by {one.tags[f'{what}_by']}" if f"{what}_by" in one.tags else ""
                because = one.tags.get(f"{what}_because", "")
                print(f"{'':<5}{what.replace('_', ' ')} {one.tags[f'{what}_at'][:16]}{who}: {because}")


def print_comparison(found: Any, margins: Any) -> None:
    """Print what the gate compared: for each slice of genuine callers both releases and their difference."""
    if found.differences:
        print(f"{found.calls:,} closed calls from {found.since:%Y-%m-%d} to {found.until:%Y-%m-%d}, later than both")
        heads = f"{'champion':>10}{'challenger':>11}{'worse by':>10}  {'95 %':<18}margin"
        print(f"{'genuine callers':<29}{heads}")
    for one in found.differences:
        margin = margins.of(one.slice_, one.measure)
        told = one.slice_ != "all" and one.callers < margins.least_callers
        mark = " too few" if told else " WORSE" if one.worse.value > margin else ""
        between = f"{one.worse.low:+.3f} to {one.worse.high:+.3f}"
        numbers = f"{one.champion:>10.3f}{one.challenger:>11.3f}{one.worse.value:>+10.3f}  {between:<18}{margin:g}"
        print(f"{one.slice_:<18}{one.callers:>5}{one.measure:>6}{numbers}{mark}")
