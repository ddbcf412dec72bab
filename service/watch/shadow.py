"""The challenger, scored in shadow: on live calls, after their answer, and shown to nobody who takes calls.

What was scored is put on a list of bounded length and looked at when there is time, a few calls at once. A fault here,
a slow challenger or a rush costs comparisons and never a call: what does not fit on the list is counted as skipped.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from model.errors import ReleaseError
from model.policy.policy import band_of
from model.release.folder import Release
from service.scoring.scorer import Scorer
from service.store.records import Call
from service.watch.release_reload import load_and_check, release_digest

LOOK_S, WORK_S, AT_ONCE = 2.0, 0.05, 16
MAX_WAITING, MAX_OUTCOMES = 2_000, 5_000
#: After so many comparisons the log says how they stand.
TOLD_EVERY = 1_000
log = logging.getLogger(__name__)


class Seen(NamedTuple):
    """A call as it was answered: what was known, at which stage, and what the champion said."""

    call: Call
    stage: str
    likelihood: float
    factor: float
    band: str


@dataclass
class Stage:
    """What was compared at one stage; the last `MAX_OUTCOMES` pairs of likelihoods, and counts of all."""

    pairs: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=MAX_OUTCOMES))
    calls: int = 0
    difference: float = 0.0
    absolute: float = 0.0
    bands: int = 0
    more: int = 0
    less: int = 0

    def document(self) -> dict[str, Any]:
        """Return the counts, the mean differences and the rank correlation."""
        return {
            "calls": self.calls,
            "mean_difference": self.difference / self.calls,
            "mean_absolute_difference": self.absolute / self.calls,
            "rank_correlation": rank_correlation(np.array(self.pairs)),
            "other_band": self.bands,
            "waits_more": self.more,
            "waits_less": self.less,
        }


class Shadow:
    """Scores live calls with the challenger in a folder, as long as there is one, and compares it with the champion."""

    def __init__(self, folder: Path, champion: Callable[[], Release]) -> None:
        self._folder, self._champion = folder, champion
        self._digest: str | None = None
        self._pair: tuple[str, str] | None = None
        self._release: Release | None = None
        self._scorer: Scorer | None = None
        self._waiting: deque[Seen] = deque()
        self._clear()

    def observe(self, call: Call, stage: str, answer: Mapping[str, Any]) -> None:
        """Record a call that was just answered; costs next to nothing and never fails."""
        if self._scorer is None or answer["prank_likelihood"] is None:
            return
        if len(self._waiting) >= MAX_WAITING:
            self.skipped += 1
            return
        factor = 0.0 if call.held_out else answer["defer_factor"]
        self._waiting.append(Seen(call, stage, answer["prank_likelihood"], factor, call.silent_band))

    def record_label(self, call_id: str, label: int | None) -> None:
        """Record how a call was closed: what both said of genuine calls is what counts."""
        said = self._said.get(call_id)
        if said is not None and label == 0:
            self._genuine[call_id] = said
        elif said is not None:
            self._genuine.pop(call_id, None)

    async def run(self) -> None:
        """Compare again and again, until cancelled."""
        looked = -LOOK_S
        clock = asyncio.get_running_loop().time
        while True:
            try:
                if clock() - looked >= LOOK_S:
                    looked = clock()
                    await self.check()
                self.compare()
            except Exception:
                self.failed += 1
                if self.failed == 1:
                    log.exception("the challenger failed in shadow; calls are answered as before")
            await asyncio.sleep(WORK_S)

    async def check(self) -> None:
        """Take up the challenger in the folder when it, or the champion, has changed."""
        digest = await asyncio.to_thread(release_digest, self._folder)
        champion = self._champion()
        if digest == self._digest and (self._pair is None or self._pair[0] == champion.name):
            return
        self._digest, self._pair, self._release, self._scorer = digest, None, None, None
        self._waiting.clear()
        self._clear()
        if digest is None:
            return
        try:
            release, scorer = await asyncio.to_thread(load_and_check, self._folder, champion)
        except ReleaseError as error:
            log.error("the challenger is refused and not scored: %s", error)
            return
        self._pair, self._release, self._scorer = (champion.name, release.name), release, scorer
        log.warning("challenger %s is scored in shadow beside %s", release.name, champion.name)

    def compare(self) -> None:
        """Score a few of the calls that wait."""
        for _ in range(min(AT_ONCE, len(self._waiting))):
            self._compare(self._waiting.popleft())

    def _compare(self, seen: Seen) -> None:
        release, scorer = self._release, self._scorer
        if release is None or scorer is None:
            return
        scored = scorer.score(seen.call, seen.stage, in_words=False)
        proof = release.proof(seen.stage)
        band = band_of(scored.guarded, scored.factor, proof.flag.threshold if proof else None).id
        stage = self._stages.setdefault(seen.stage, Stage())
        stage.pairs.append((seen.likelihood, scored.likelihood))
        stage.calls += 1
        stage.difference += scored.likelihood - seen.likelihood
        stage.absolute += abs(scored.likelihood - seen.likelihood)
        stage.bands += proof is not None and band != seen.band
        stage.more += scored.factor > seen.factor
        stage.less += scored.factor < seen.factor
        self._said[seen.call.call_id] = (seen.likelihood, scored.likelihood)
        if len(self._said) > MAX_OUTCOMES:
            self._said.pop(next(iter(self._said)))
        if stage.calls % TOLD_EVERY == 0:
            log.info("challenger %s at %s: %s", release.name, seen.stage, stage.document())

    def document(self) -> dict[str, Any] | None:
        """Return what was compared so far; None while there is no challenger."""
        if self._release is None:
            return None
        genuine = np.array(list(self._genuine.values())).reshape(-1, 2)
        means = genuine.mean(axis=0).tolist() if len(genuine) else [None, None]
        return {
            "release": self._release.name,
            "since": self._since.isoformat(),
            "waiting": len(self._waiting),
            "skipped": self.skipped,
            "failed": self.failed,
            "stages": {name: stage.document() for name, stage in self._stages.items()},
            "genuine": {"calls": len(genuine), "champion": means[0], "challenger": means[1]},
        }

    def _clear(self) -> None:
        self._since = datetime.now(UTC)
        self._stages: dict[str, Stage] = {}
        self._said: dict[str, tuple[float, float]] = {}
        self._genuine: dict[str, tuple[float, float]] = {}
        self.skipped = self.failed = 0


def rank_correlation(pairs: Any) -> float | None:
    """Spearman's rank correlation of two columns; ties by the order in which they came. None without a spread.

    Examples
    --------
    >>> rank_correlation(np.array([[0.1, 0.2], [0.5, 0.3], [0.9, 0.8]])), rank_correlation(np.array([[0.1, 0.2]]))
    (1.0, None)
    """
    if len(pairs) < 2 or np.ptp(pairs[:, 0]) == 0.0 or np.ptp(pairs[:, 1]) == 0.0:
        return None
    ranks = pairs.argsort(axis=0, kind="stable").argsort(axis=0)
    return round(float(np.corrcoef(ranks.T)[0, 1]), 12)
