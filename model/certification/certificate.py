"""The certificate: what has been proven about genuine callers, for how long, and in plain words."""

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timedelta
from math import isfinite
from typing import Any, Literal, NamedTuple, TypeVar, get_type_hints

from model.language.catalogue import catalogue
from model.language.texts import Language

LIFE = timedelta(days=180)
# The promise was made for a centre with about this share of calls not closed as genuine.
LARGEST_FALL = 1.0 / 3.0
FORMAT = 1

Part = TypeVar("Part")


@dataclass(frozen=True)
class FlagProof:
    """At most `alpha` of genuine callers are in likely_prank, except with chance `delta`.

    Parameters
    ----------
    alpha, delta
        Shares in (0, 1); delta is this proof's part of the certificate's.
    genuine_callers
        Genuine callers it rests on, one call each.
    rank, threshold
        Rank (from 1, upwards) among their scores and the score there: flagged iff strictly above. Both None
        when nothing can be proven: then no call is flagged.
    missing
        Genuine callers still needed before any threshold can be proven; 0 when there is one.
    observed_share
        Share of these genuine callers above the threshold; None without threshold or callers.
    best_alpha
        The tightest share that so many callers could ever certify.
    """

    alpha: float
    delta: float
    genuine_callers: int
    rank: int | None
    threshold: float | None
    missing: int
    observed_share: float | None
    best_alpha: float

    def __post_init__(self) -> None:
        _check_types(self)
        if (self.threshold is None) != (self.rank is None) or (self.threshold is None) != (self.missing > 0):
            raise ValueError("threshold, rank and missing must agree on whether there is a proof")


@dataclass(frozen=True)
class DeferralProof:
    """Genuine callers are deferred less than the work they queue with: on average they gain.

    Parameters
    ----------
    delta_genuine, delta_load
        The chances that the upper and the lower bound are wrong.
    genuine_callers, genuine_mean, genuine_upper
        Mean defer_factor of genuine callers, one call each: seen, and its upper bound. The mean is None
        without callers; the bound is then 1.
    load_callers, load_mean, load_lower
        Mean defer_factor weighted by handling time, by caller: seen, and its lower bound.
    caller_cap_s
        A caller's handling time counts up to here (seconds).
    on
        Whether calls may be deferred: genuine_upper < load_lower.
    reason
        "proven", "not_proven" or "no_genuine_callers".
    """

    delta_genuine: float
    delta_load: float
    genuine_callers: int
    genuine_mean: float | None
    genuine_upper: float
    load_callers: int
    load_mean: float | None
    load_lower: float
    caller_cap_s: float
    on: bool
    reason: str

    def __post_init__(self) -> None:
        _check_types(self)
        if self.on != (self.genuine_upper < self.load_lower) or self.on != (self.reason == "proven"):
            raise ValueError("on must say whether genuine_upper lies below load_lower, and reason must agree")


@dataclass(frozen=True)
class StageProof:
    """What is proven at one stage that acts on the queue (ring or opening)."""

    stage: str
    flag: FlagProof
    deferral: DeferralProof

    def __post_init__(self) -> None:
        _check_types(self)


class State(NamedTuple):
    """Whether a certificate holds: `word` is valid, expired or void; `reason` is empty when it is valid."""

    word: Literal["valid", "expired", "void"]
    reason: str


@dataclass(frozen=True)
class Certificate:
    """What a release may do, and the proof. Without a valid one: no flag, no deferral.

    Parameters
    ----------
    fingerprint
        `certificate_hash` the scorecard and everything fixed with it (policy, guardrails, mapping, numbering).
    issued_at, expires_at
        Aware times; it holds from issued_at up to, not including, expires_at.
    base_rate
        Share of closed calls that were not genuine, in the calls that the proof rests on.
    delta
        The chance that any of the stages' proofs fails; their parts add up to it.
    subject
        "model": it certifies this very model. "procedure": it certifies how the model was made.
    stages
        One proof for each stage that acts.
    """

    fingerprint: str
    issued_at: datetime
    expires_at: datetime
    base_rate: float
    delta: float
    subject: str
    stages: tuple[StageProof, ...]

    def __post_init__(self) -> None:
        _check_types(self)
        if self.subject not in ("model", "procedure"):
            raise ValueError(f"subject must be 'model' or 'procedure', not {self.subject!r}")
        parts = sum(s.flag.delta + s.deferral.delta_genuine + s.deferral.delta_load for s in self.stages)
        if parts > self.delta * (1.0 + 1e-9):
            raise ValueError(f"the stages' deltas add up to {parts}, more than delta = {self.delta}")

    def stage(self, name: str) -> StageProof:
        """Return the proof for the stage `name`; KeyError when that stage was not certified."""
        for proof in self.stages:
            if proof.stage == name:
                return proof
        raise KeyError(f"stage {name!r} is not certified; certified: {[s.stage for s in self.stages]}")

    def state(
        self,
        now: datetime,
        *,
        fingerprint: str,
        base_rate: float | None = None,
        drifted: bool = False,
        alarmed: bool = False,
    ) -> State:
        """Whether this certificate holds at `now` for the release with this fingerprint.

        Parameters
        ----------
        now
            Aware time.
        fingerprint
            Of what is being served.
        base_rate
            Share of recently closed calls that were not genuine; None when not known, which changes nothing.
        drifted, alarmed
            Whether scores have drifted beyond the release's own fingerprint; whether the monitor has sounded.

        Returns
        -------
        The first that applies of release_changed, monitor, base_rate_fell (below two thirds of what it was),
        drift, not_yet_issued (all void) and expired; else valid.
        """
        if fingerprint != self.fingerprint:
            return State("void", "release_changed")
        if alarmed:
            return State("void", "monitor")
        if base_rate is not None and base_rate < (1.0 - LARGEST_FALL) * self.base_rate:
            return State("void", "base_rate_fell")
        if drifted:
            return State("void", "drift")
        if now < self.issued_at:
            return State("void", "not_yet_issued")
        if now >= self.expires_at:
            return State("expired", "expired")
        return State("valid", "")

    def sentence(self, language: Language, state: State | None = None) -> str:
        """Say what is promised, for a supervisor; with a `state` that is not valid, say that first.

        Parameters
        ----------
        language
            "en" or "id".
        """
        say = catalogue(language)
        parts = []
        if state is not None and state.word != "valid":
            parts.append(say("certificate.lost", reason=say(f"certificate.reason.{state.reason}")))
        for proof in self.stages:
            flag = proof.flag
            parts += [
                say(
                    f"certificate.{'promise' if flag.threshold is not None else 'no_promise'}",
                    stage=say(f"certificate.stage.{proof.stage}"),
                    callers=flag.genuine_callers,
                    confidence=1.0 - self.delta,
                    share=flag.alpha,
                    missing=flag.missing,
                ),
                say(f"certificate.{'on' if proof.deferral.on else 'off'}"),
            ]
        if self.subject == "procedure":
            parts.append(say("certificate.procedure"))
        return " ".join(parts)

    def to_json(self) -> str:
        """Strict JSON that a person can read; `from_json` gives back an equal certificate."""
        document = {"format": FORMAT, **asdict(self)}
        document["issued_at"] = self.issued_at.isoformat()
        document["expires_at"] = self.expires_at.isoformat()
        return json.dumps(document, indent=2, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Certificate":
        """Read `to_json`; a missing, unknown or mistyped field is a ValueError that names it."""
        document = json.loads(text)
        if not isinstance(document, dict) or document.pop("format", None) != FORMAT:
            raise ValueError(f"not a certificate of format {FORMAT}")
        for name in ("issued_at", "expires_at"):
            if name in document:
                document[name] = datetime.fromisoformat(str(document[name]))
        document["stages"] = tuple(
            _build(
                StageProof,
                {
                    **stage,
                    "flag": _build(FlagProof, stage.get("flag", {})),
                    "deferral": _build(DeferralProof, stage.get("deferral", {})),
                },
            )
            for stage in document.get("stages", ())
        )
        return _build(cls, document)


def certificate_hash(*documents: str) -> str:
    """SHA-256 of documents, each preceded by its length so that nothing can move from one to the next.

    Examples
    --------
    >>> certificate_hash("ab", "c") == certificate_hash("a", "bc")
    False
    """
    digest = hashlib.sha256()
    for document in documents:
        encoded = document.encode()
        digest.update(len(encoded).to_bytes(8, "big"))
        digest.update(encoded)
    return digest.hexdigest()


def _build(kind: type[Part], values: dict[str, Any]) -> Part:
    names = {f.name for f in fields(kind)}  # type: ignore[arg-type]
    if set(values) != names:
        missing, unknown = sorted(names - set(values)), sorted(set(values) - names)
        raise ValueError(f"{kind.__name__}: missing {missing}, unknown {unknown}")
    return kind(**values)


def _check_types(part: Any) -> None:
    for name, hint in get_type_hints(type(part)).items():
        value = getattr(part, name)
        kind = tuple if name == "stages" else hint
        # A bool is an int to Python; a count is not a yes or no.
        right = isinstance(value, kind) and (not isinstance(value, bool) or kind is bool)
        if not right or (isinstance(value, float) and not isfinite(value)):
            raise ValueError(f"{type(part).__name__}.{name} must be {hint}, not {value!r}")
        if isinstance(value, datetime) and value.tzinfo is None:
            raise ValueError(f"{type(part).__name__}.{name} must be an aware time, not {value!r}")
