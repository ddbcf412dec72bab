"""FreeSWITCH's call detail records: a JSON document a call (mod_json_cdr), or lines of CSV (mod_cdr_csv).

Of a JSON record the variables that mod_callcenter leaves in the caller's channel tell when it joined the queue, was
answered and left it, so that nothing has to be guessed. A CSV of the usual template has the two ends and the answer of
the channel, by local time.
"""

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from zoneinfo import ZoneInfo

from model.errors import LogError
from service.telephony.archive.past_calls import Joined, PastCall
from service.telephony.archive.pbx_clock import local_us
from service.telephony.archive.queue_log import numbered_lines
from service.telephony.vocabulary import ENDED_BY

#: The columns of the templates `sql` and `example` of cdr_csv.conf.xml, which begin alike.
COLUMNS = (
    "caller_id_name", "caller_id_number", "destination_number", "context", "start_stamp", "answer_stamp", "end_stamp",
    "duration", "billsec", "hangup_cause", "uuid", "bleg_uuid", "accountcode",
)  # fmt: skip
OUTCOME = "saring_disposition"


def read_freeswitch(
    paths: Iterable[Path],
    zone: ZoneInfo | None = None,
    columns: Sequence[str] = COLUMNS,
    *,
    queues: frozenset[str] = frozenset(),
    dialled: frozenset[str] = frozenset(),
) -> tuple[Joined, list[tuple[str, int]]]:
    """Read records of calls, each call once.

    Parameters
    ----------
    paths : iterable of Path
        Files, or folders of JSON records.
    zone : ZoneInfo, optional
        Of the times of a CSV.
    columns : sequence of str
        Of a CSV, in order; more are left alone.
    queues : frozenset of str
        Those whose calls are wanted, as `name@domain` or `name`; all by default.
    dialled : frozenset of str
        Numbers whose calls are wanted, beside those that joined a queue.

    Returns
    -------
    joined : Joined
    broken : list of (str, int)
        File and line of what could not be read.

    Raises
    ------
    LogError
        When a file is not there, or a CSV is read without a zone.
    """
    found: dict[str, PastCall] = {}
    broken: list[tuple[str, int]] = []
    others = 0
    for path in (one for given in paths for one in (sorted(given.glob("*.json")) if given.is_dir() else [given])):
        for line, variables in _records(path, zone, columns):
            if variables is None:
                broken.append((str(path), line))
                continue
            queue, number = variables.get("cc_queue", ""), variables.get("destination_number", "")
            wanted = not queues or bool({queue, queue.split("@")[0]} & queues)
            if variables.get("cc_side") != "agent" and ((queue and wanted) or (number and number in dialled)):
                call = _call(variables)
                found[call.call_id] = call
            else:
                others += 1
    calls = sorted(found.values(), key=lambda call: (call.received_us, call.call_id))
    return Joined(calls, other_legs=others), broken


def _records(
    path: Path, zone: ZoneInfo | None, columns: Sequence[str]
) -> Iterable[tuple[int, Mapping[str, str] | None]]:
    if path.suffix.lower() == ".json":
        yield 1, _document(path)
        return
    if zone is None:
        raise LogError(f"{path}: expected --time-zone: the records of a CSV have local times without one")
    lines = list(numbered_lines(path))
    for number, line, whole in lines:
        fields = next(csv.reader([line]))
        if not whole or len(fields) < len(columns):
            yield number, None
            continue
        named = dict(zip(columns, fields, strict=False))
        times = {name: local_us(named.get(f"{name}_stamp", ""), zone) for name in ("start", "answer", "end")}
        yield number, named | {f"{name}_uepoch": str(at) for name, at in times.items() if at is not None}


def _document(path: Path) -> Mapping[str, str] | None:
    try:
        document = json.loads(path.read_text(encoding="utf-8", errors="replace"))
        variables = document["variables"]
        caller = document.get("callflow", [{}])[0].get("caller_profile", {})
        found = {str(name): str(value) for name, value in variables.items()}
        # The profile's number stands even where the channel shows another name for it.
        return {"destination_number": str(caller.get("destination_number", "")), **found} if "uuid" in found else None
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        return None
    except OSError as error:
        raise LogError(f"{path}: cannot be read: {error.strerror}") from error


def _call(variables: Mapping[str, str]) -> PastCall:
    def at(name: str) -> int | None:
        text = variables.get(name, "")
        number = int(text) if text.isdigit() else 0
        return (number if name.endswith("_uepoch") else number * 1_000_000) or None

    joined_us, answered_us = at("cc_queue_joined_epoch"), at("cc_queue_answered_epoch")
    guesses: tuple[str, ...] = ()
    if not variables.get("cc_queue"):
        answered_us, guesses = at("answer_uepoch"), ("answer: the channel's",)
    start_us = at("start_uepoch") or at("start_epoch") or joined_us or 0
    left = variables.get("cc_cancel_reason", "")
    outcome = "" if answered_us is not None else "abandoned" if left == "BREAK_OUT" else "unanswered"
    ended_us = at("end_uepoch") or at("end_epoch")
    code = variables.get(OUTCOME, "")
    return PastCall(
        call_id=variables["uuid"],
        received_us=start_us,
        caller=variables.get("caller_id_number", ""),
        queue=variables.get("cc_queue", ""),
        opening_s=max(0.0, (joined_us - start_us) / 1e6) if joined_us is not None else None,
        answered_us=answered_us,
        ended_us=(at("cc_queue_terminated_epoch") if answered_us else None) or ended_us,
        ended_by="caller" if outcome == "abandoned" else ENDED_BY.get(variables.get("sip_hangup_disposition", "")),
        outcome=outcome,
        code=code,
        coded_us=ended_us if code else None,
        transferred=False,
        legs=1,
        guesses=guesses,
    )
