"""Counts what happens: one method for each thing that can happen, each a few microseconds at most.

Every label that is known beforehand is looked up once, when the service starts, so that a scored call costs a few
additions; a metric is therefore also there, at 0, before the thing has ever happened.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from itertools import product
from math import nan
from typing import Any

from prometheus_client import CollectorRegistry, disable_created_metrics
from prometheus_client.exposition import choose_encoder

from model.calls.columns import COLUMNS
from model.policy.guardrails import SHOWN
from model.policy.policy import Band
from model.scorecard.features import STAGES
from service.telemetry.logs import mask_numbers
from service.telemetry.metric_table import METRICS
from service.telemetry.multiprocess import SharedCounts, multiprocess_directory

OTHER = "other"
BANDS = tuple(band.id for band in Band)
#: The fields whose warnings are counted by name: those of the call log, and what only a request has.
FIELDS = (*(column.name for column in COLUMNS), "expected_wait_s", "mean_handling_s", "stage", "operator", "confirm")
METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
MAX_QUEUES, MAX_REASONS, MAX_RELEASES, MAX_ROUTES, MAX_SENDERS = 50, 20, 50, 200, 50
_OPENMETRICS = "application/openmetrics-text"

_Count = Callable[[], None]
_Observe = Callable[[float], None]


class Metrics:
    """What this process counts, in a registry of its own; with other worker processes, what all of them do.

    Raises
    ------
    SaringError
        When the environment asks for shared counts that cannot be had; see `service.telemetry.multiprocess`.

    Examples
    --------
    >>> metrics = Metrics()
    >>> metrics.scored("opening", "unsure", 42.0, False, ["silence"], [])
    >>> metrics.registry.get_sample_value("saring_calls_total", {"stage": "opening", "band": "unsure"})
    1.0
    """

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # or half of all lines say when this process began
        together = multiprocess_directory()
        self.registry = CollectorRegistry()
        self._made: dict[str, Any] = {
            metric.name: metric.make(None if together else self.registry) for metric in METRICS
        }
        if together:
            self.registry.register(SharedCounts(together))
        self._scored = {
            (stage, band): (
                self._made["calls_total"].labels(stage, band).inc,
                self._made["deferral_seconds"].labels(stage).observe,
            )
            for stage, band in (*product(STAGES, BANDS), (OTHER, OTHER))
        }
        self._guardrails = self._each("guardrails_total", [guardrail.name for guardrail in SHOWN])
        self._warnings = self._each("warnings_total", FIELDS)
        self._abandoned = self._each("abandoned_total", BANDS)
        self._deferred, self._held_out = self._made["deferred_total"].inc, self._made["held_out_total"].inc
        # What has no label is counted or set as it is told; the table says what each means.
        self.ahead = self._made["ahead_total"].inc
        self.not_kept = self._made["not_kept_total"].inc
        self.journal_kept = self._made["journal_kept_total"].inc
        self.journal_drained = self._made["journal_drained_total"].inc
        self.journal_holds = self._made["journal_records"].set
        self.merged_callers = self._made["merged_callers"].set
        self.drift = self._made["drift_measures_moved"].set
        self.event_loop_lag = self._made["event_loop_lag_seconds"].set
        self._requests: dict[tuple[str, str, int], tuple[_Count, _Observe]] = {}
        self._routes, self._reasons = _Names(MAX_ROUTES), _Names(MAX_REASONS)
        self._queues, self._releases = _Names(MAX_QUEUES), _Names(MAX_RELEASES)
        self._senders = _Names(MAX_SENDERS)
        self._made["clock_off_total"].labels(OTHER, "behind")
        self.monitor(1.0, 1.0, alarmed=False)

    def scored(
        self,
        stage: str,
        band: str,
        defer_s: float,
        held_out: bool,
        guardrails: Sequence[str],
        warnings: Sequence[Mapping[str, str]],
    ) -> None:
        """Count a score; all of it as the answer has it, `warnings` as mappings with a `field`."""
        count, observe = self._scored.get((stage, band)) or self._scored[OTHER, OTHER]
        count()
        observe(defer_s)
        if defer_s > 0.0:
            self._deferred()
        if held_out:
            self._held_out()
        for name in guardrails:
            self._guardrails.get(name, self._guardrails[OTHER])()
        self.warned(warnings)

    def warned(self, warnings: Sequence[Mapping[str, str]]) -> None:
        """Count warnings, each with a `field`."""
        for warning in warnings:
            self._warnings.get(warning["field"], self._warnings[OTHER])()

    def clock_off(self, sender: str, ahead: bool) -> None:
        """Count a score of a call whose sender's clock is off."""
        name = self._senders.of(sender) if mask_numbers(sender) == sender else OTHER
        self._made["clock_off_total"].labels(name, "ahead" if ahead else "behind").inc()

    def request(self, route: str, method: str, status: int, seconds: float | None) -> None:
        """Count a request by its route's template, never its path; a stream has no seconds, since it is no latency."""
        key = (route, method if method in METHODS else OTHER, status)
        count, observe = self._requests.get(key) or self._new_request(*key)
        count()
        if seconds is not None:
            observe(seconds)

    def degraded(self, reason: str) -> None:
        """Count what the store did not take as it should, and why: a word, never a text that was sent."""
        self._made["degraded_total"].labels(self._reasons.of(reason)).inc()

    def abandoned(self, band: str) -> None:
        """Count a caller who hung up before an operator answered."""
        self._abandoned.get(band, self._abandoned[OTHER])()

    def store_up(self, up: bool) -> None:
        """Set whether the store takes events."""
        self._made["store_up"].set(up)

    def committed(self, seconds: float, batch: int, again: int) -> None:
        """Count a commit of `batch` events that was tried `again` so often because another one came between."""
        if again:
            self._made["store_conflicts_total"].inc(again)
        self._made["store_write_seconds"].observe(seconds)
        self._made["store_batch_size"].observe(batch)

    def waiting(self, calls: Mapping[str, int]) -> None:
        """Set the number of waiting calls by queue ("" for none); queues that are not named are empty."""
        counts = dict.fromkeys((*self._queues.known, OTHER), 0)
        for queue, count in calls.items():
            # Somebody may take a field for another: a caller's number never becomes a label.
            name = self._queues.of(queue) if mask_numbers(queue) == queue else OTHER
            counts[name] = counts.get(name, 0) + count
        for name, count in counts.items():
            self._made["waiting_calls"].labels(name).set(count)

    def operators(self, on_duty: int | None) -> None:
        """Set the number of operators on duty, None while unknown."""
        self._made["operators_on_duty"].set(nan if on_duty is None else on_duty)

    def deferral(self, *, switch_on: bool, on: bool) -> None:
        """Set whether people allow deferral, and whether anything is deferred."""
        self._made["switch_on"].set(switch_on)
        self._made["deferral_on"].set(on)

    def monitor(self, all_calls: float, random_share: float, *, alarmed: bool) -> None:
        """Set the monitor's e-values, and whether it has switched things off."""
        self._made["monitor_e_value"].labels("all").set(all_calls)
        self._made["monitor_e_value"].labels("random_share").set(random_share)
        self._made["monitor_alarmed"].set(alarmed)

    def certificate(self, expires_at: datetime | None) -> None:
        """Set when the certificate expires, None without one."""
        self._made["certificate_expires_timestamp_seconds"].set(expires_at.timestamp() if expires_at else 0.0)

    def release(self, name: str) -> None:
        """Set the release that is served from now on."""
        label = self._releases.of(name)
        for known in (*self._releases.known, label):
            self._made["release_info"].labels(known).set(known == label)

    def render(self, accept: str) -> tuple[bytes, str]:
        """Return the text for Prometheus and its media type, given the Accept header; "" when there is none.

        It takes a few milliseconds: not in the event loop.
        """
        # Only what is asked for is looked at: prometheus_client fails on a version that is no number.
        encode, media_type = choose_encoder(f"{_OPENMETRICS}; version=1.0.0" if _OPENMETRICS in accept else "")
        return encode(self.registry), media_type

    def _each(self, name: str, labels: Sequence[str]) -> dict[str, _Count]:
        return {label: self._made[name].labels(label).inc for label in (*labels, OTHER)}

    def _new_request(self, route: str, method: str, status: int) -> tuple[_Count, _Observe]:
        name = self._routes.of(route)
        count = self._made["requests_total"].labels(name, method, str(status)).inc
        found = self._requests[name, method, status] = (count, self._made["request_seconds"].labels(name).observe)
        return found


class _Names:
    """Names that are not known beforehand, up to a number; those that come later are "other"."""

    def __init__(self, most: int) -> None:
        self.known: dict[str, None] = {}
        self._most = most

    def of(self, name: str) -> str:
        if name not in self.known and len(self.known) < self._most:
            self.known[name] = None
        return name if name in self.known else OTHER
