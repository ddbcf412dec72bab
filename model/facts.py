"""What stands in a release besides measurements, as pairs of a name and a sentence: data, proofs, how it was made."""

from collections.abc import Iterator, Mapping
from typing import Any

from model.answer import QUEUE_STAGE, Document
from model.certificate import Certificate, StageProof
from model.numerals import count, day, decimal, duration, of_people
from model.own_effect import sentence
from model.promise import percent

Pairs = Iterator[tuple[str, str]]


def data_facts(metrics: Document, facts: Mapping[str, Any]) -> Pairs:
    """Give what a reader must know of the calls."""
    zone, data, window = facts["time_zone"], facts["data"], metrics["window"]
    yield (
        "Calls of the log",
        f"{count(data['calls'])}, {day(data['first_call'], zone)} to {day(data['last_call'], zone)}",
    )
    for name, use in (
        ("fit", "Scorecards fitted on"),
        ("calibrate", "Calibrated, and policy set, on"),
        ("certify", "Certified on"),
    ):
        if metrics["calls"] and metrics["genuine_calls"]:
            calls, genuine = metrics["calls"][name], metrics["genuine_calls"][name]
            yield use, f"{count(calls)} closed calls, {count(genuine)} of them genuine"
    if window["from"]:
        yield (
            "Measured here",
            f"{day(window['from'], zone)} to {day(window['until'], zone)}: {count(window['calls'])} calls, "
            f"{count(window['closed'])} closed, {count(window['genuine'])} of them genuine by "
            f"{count(window['genuine_callers'])} callers ({of_people(window['genuine_share'])})",
        )
    else:
        yield "Measured here", "no call: the log is too short for a part to measure on"
    yield (
        "Without a label",
        f"{count(metrics['unlabelled_calls'])} calls: unanswered, abandoned, tests, or never closed",
    )
    yield (
        "Too young for a label",
        f"{count(metrics['too_young_calls'])} calls, left out: a label was waited for {duration(data['maturity_s'])}, "
        "in which 95 of 100 labels come",
    )
    if metrics.get("own_effect"):
        yield "The system's own effect", sentence(metrics["own_effect"])
    yield "Handling time", f"{duration(window['mean_handling_s'])} a call on average"
    yield "Local time, numbers", f"{zone}, region {facts['region']}"
    yield "Fingerprint of the data", str(data["fingerprint"])


def label_facts(labels: Mapping[str, int]) -> Pairs:
    """Give what each way to close a call means to training."""
    for word, value in (("Genuine", 0), ("Not genuine", 1)):
        yield word, ", ".join(name.replace("_", " ") for name, label in labels.items() if label == value)
    yield "No label, not learnt from", "every other way to close a call: a caller whom nobody answered is not a prank"


def made_facts(facts: Mapping[str, Any], certificate: Certificate) -> Pairs:
    """Give how a release was made."""
    yield "Release", str(facts["release"])
    yield "Made at", str(facts["created_at"])
    yield "Knows what was known at", str(facts["until"])
    yield "Method", "gradient boosting without interactions, calibrated, folded into step functions that are added up"
    yield "Fingerprint of scorecards, policy and settings", certificate.fingerprint
    yield "Version of the callers' histories", str(facts["history_version"])
    yield "Python", str(facts["python"])
    yield "Packages", ", ".join(f"{name} {version}" for name, version in facts["packages"].items())


def flat(settings: Mapping[str, Any], before: str = "") -> Pairs:
    """Give nested settings, each under its dotted name.

    Examples
    --------
    >>> list(flat({"split": {"fit": 0.5}, "limit": None, "on": True}))
    [('split.fit', '0.5'), ('limit', 'as built in'), ('on', 'yes')]
    """
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{before}{name}.")
        elif value is None:
            yield f"{before}{name}", "as built in"
        else:
            yield f"{before}{name}", {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def proof_facts(proof: StageProof, certificate: Certificate) -> Pairs:
    """Give what is proven at a stage."""
    flag, gate = proof.flag, proof.deferral
    yield "May mark calls as a likely prank", "no" if flag.threshold is None else "yes"
    yield "Promise asked for", f"at most {of_people(flag.alpha)} genuine callers marked"
    yield "Genuine callers it rests on, one call each", count(flag.genuine_callers)
    yield "Genuine callers still missing", count(flag.missing)
    if flag.threshold is None:
        yield "Marked from a score above", "no call is marked"
        yield "Of those callers, marked", "none"
    else:
        yield "Marked from a score above", percent(flag.threshold, "en")
        yield "Of those callers, marked", of_people(flag.observed_share, whole=1_000)
    yield "May defer calls", "yes" if gate.on else "no"
    yield "Mean deferral of genuine callers (0 none, 1 full)", decimal(gate.genuine_mean, 3)
    yield "Proven: at most", decimal(gate.genuine_upper, 3)
    yield "Mean deferral of all work", decimal(gate.load_mean, 3)
    yield "Proven: at least", decimal(gate.load_lower, 3)
    gain = {
        "proven": "genuine callers gain: the first limit lies below the second",
        "not_proven": "not proven: the first limit lies above the second",
        "no_genuine_callers": "no genuine caller to prove it with",
    }
    yield "Proof of gain", gain[gate.reason]
    fails = (flag.delta, gate.delta_genuine + gate.delta_load, certificate.delta)
    marks, defers, all_of_them = (percent(delta, "en") for delta in fails)
    yield "Chance that the proof fails", f"{marks} (marks), {defers} (deferral), of {all_of_them} for all"


def end_of(certificate: Certificate, zone: str) -> str:
    """Say until when a certificate holds, and what ends it earlier."""
    return (
        f"Issued on {day(certificate.issued_at, zone)}, it holds until {day(certificate.expires_at, zone)}. It ends "
        "earlier when the release, its rules or the meaning of labels change, when the share of false calls falls by "
        f"more than a third (it was {of_people(certificate.base_rate)}), when calls no longer look like those it rests "
        "on, or when the monitor sounds. From then on no call is marked or deferred, and the queue is first come, "
        "first served."
    )


def watch_of(certificate: Certificate) -> str:
    """Say what watching the promise can find; the figures are those of docs/proofs.md."""
    if certificate.stage(QUEUE_STAGE).flag.threshold is None:
        return "As no call is marked, there is no such promise to watch."
    return (
        "A monitor watches the promise while it is in force. In simulations with 106 genuine callers a year, a breach "
        "to four times 5 of 100 was found in 99 of 100 years, after some 35 callers; to four times 1 of 100 in only 31 "
        "of 100. With few genuine callers or a strict promise it can see little."
    )
