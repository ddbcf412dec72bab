"""Every metric of the service, in one table: docs/telemetry.md explains them, `service/telemetry/metrics.py` counts.

A label is one of a handful of words that are known beforehand, a route template, or a name with a limit on how many
there may be. No id, number or path is ever a label: whoever sends requests cannot make series.
"""

from dataclasses import dataclass
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

PREFIX = "saring_"
Instrument = Counter | Gauge | Histogram
#: How the gauges of several worker processes become one; those of a process that has died are left out.
Together = Literal["livesum", "livemin", "livemax", "livemostrecent"]

_SECONDS = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0)
_DEFERRALS = (0.0, 15.0, 30.0, 60.0, 90.0, 120.0, 180.0, 240.0, 300.0)
_BATCHES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0)


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric.

    Parameters
    ----------
    name : str
        Without the prefix; it ends with its unit, a counter's with `_total`.
    kind : {"counter", "gauge", "histogram"}
    meaning : str
        What a person reads beside it.
    labels : tuple of str
    together : str
        A gauge's way of being one number for several processes; counters and histograms are summed.
    buckets : tuple of float
        A histogram's upper bounds.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    meaning: str
    labels: tuple[str, ...] = ()
    together: Together = "livemax"
    buckets: tuple[float, ...] = _SECONDS

    def make(self, registry: CollectorRegistry | None) -> Instrument:
        """Make the instrument that counts it."""
        name = PREFIX + self.name
        if self.kind == "counter":
            return Counter(name, self.meaning, self.labels, registry=registry)
        if self.kind == "gauge":
            return Gauge(name, self.meaning, self.labels, registry=registry, multiprocess_mode=self.together)
        return Histogram(name, self.meaning, self.labels, registry=registry, buckets=self.buckets)


def _counter(name: str, meaning: str, *labels: str) -> Metric:
    return Metric(name, "counter", meaning, labels)


def _gauge(name: str, meaning: str, *labels: str, together: Together = "livemax") -> Metric:
    return Metric(name, "gauge", meaning, labels, together)


def _histogram(name: str, meaning: str, *labels: str, buckets: tuple[float, ...] = _SECONDS) -> Metric:
    return Metric(name, "histogram", meaning, labels, buckets=buckets)


METRICS: tuple[Metric, ...] = (
    _counter("requests_total", "requests answered; status 499 is a client that went away", "route", "method", "status"),
    _histogram("request_seconds", "time from a request to the end of its answer, streams left out", "route"),
    _counter("calls_total", "scores given, by what they were given as", "stage", "band"),
    _histogram("deferral_seconds", "seconds by which a scored call was deferred", "stage", buckets=_DEFERRALS),
    _counter("deferred_total", "scores that deferred a call"),
    _counter("held_out_total", "scores of the random share, which is neither deferred nor marked"),
    _counter("guardrails_total", "scores in which a guardrail held", "guardrail"),
    _counter(
        "warnings_total",
        "fields that made no sense and were taken as not known, and times of more than an hour",
        "field",
    ),
    _counter("ahead_total", "requests refused because a time in them lies ahead of this machine's clock"),
    _counter(
        "clock_off_total",
        "scores of calls whose received_at is further from this machine's clock than is tolerated",
        "sender",
        "direction",
    ),
    _counter("abandoned_total", "callers who hung up before an operator answered, by the band shown", "band"),
    _gauge("merged_callers", "callers without a valid number who call from more lines than one person has"),
    _counter("degraded_total", "scores and events that the store did not take as it should, and why", "reason"),
    _gauge("journal_records", "events in the journal that the store has not taken yet", together="livesum"),
    _counter("not_kept_total", "events that neither the store nor the journal took; the answers said so"),
    _counter("journal_kept_total", "events kept in the journal instead of the store"),
    _counter("journal_drained_total", "events of the journal that the store has taken since"),
    _gauge("store_up", "1 while the store takes events, else 0", together="livemin"),
    _histogram("store_write_seconds", "time of one commit"),
    _histogram("store_batch_size", "events in one commit", buckets=_BATCHES),
    _counter("store_conflicts_total", "commits tried again because another one came between"),
    _gauge("waiting_calls", "calls in the queue", "queue", together="livemostrecent"),
    _gauge("operators_on_duty", "operators on duty; NaN while unknown", together="livemostrecent"),
    _gauge("switch_on", "1 while people allow deferral, 0 once they have switched it off"),
    _gauge("deferral_on", "1 while calls may be deferred: switch, certificate and monitor all allow it"),
    _gauge("monitor_e_value", "evidence that the certificate's promise is broken; 1 is none", "kind"),
    _gauge("monitor_alarmed", "1 once the evidence has switched flags and deferral off"),
    _gauge("drift_measures_moved", "measures by which calls no longer look like those that the release was made from"),
    _gauge(
        "certificate_expires_timestamp_seconds",
        "when the certificate expires, in seconds since 1970; 0 without one",
        together="livemin",
    ),
    _gauge("event_loop_lag_seconds", "the latest that the event loop came in the last fifteen seconds"),
    _gauge("release_info", "1 for the release that is served", "release"),
)
