"""One call's page: what was known, how its score comes about, what followed from it, and its timeline."""

import math
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from model.errors import StoreError
from model.language.catalogue import Catalogue, catalogue
from model.language.numbers import format_decimal
from model.language.texts import Language
from model.policy.guardrails import SHOWN
from model.scorecard.reasons import translate_reasons
from service.console.catalogues.catalogue import words_of
from service.console.page import PageRoute, closing_data, data_for, looks, now_us, page, refused
from service.contract.problems import Problem
from service.http.dependencies import CallIdInPath, principal_of, scorer_of, shown_of
from service.http.problem_responses import store_unavailable
from service.http.queue_view import queued_call
from service.queue.badge import detail_text, state_of
from service.queue.states import CLOSED, IN_QUEUE, REOPENED_S
from service.security.api_keys import Role
from service.security.pseudonyms import short_pseudonym
from service.security.route_access import require_role

#: Bars are so wide, in the picture's own units, for the largest part of a score.
BAR = 100.0
router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/console/calls/{call_id:path}")
@require_role(Role.OPERATOR, Role.SCIENTIST)
async def story_page(request: Request, call_id: CallIdInPath) -> Response:
    """Show one call."""
    words, intake = words_of(request), scorer_of(request).intake
    try:
        call = shown_of(request, await intake.find_call(call_id))
        said = await intake.store.read_events(call)
    except Problem as problem:
        return refused(request, problem)
    except StoreError as error:
        return refused(request, store_unavailable(error))
    # As long as it is of the random share and not closed, nobody is to know what its score was.
    hidden = call.held_out and call.state != CLOSED
    data = data_for(words, "close.", "disposition.", "category.", "story.", **closing_data(request), call_id=call_id)
    closes = principal_of(request).role is not Role.SCIENTIST
    data |= {"waits": call.state in IN_QUEUE, "back_ms": back_ms(said) if closes and call.state == CLOSED else 0.0}
    return page(
        request,
        "story.html",
        call=call,
        caller=short_pseudonym(call.caller) or words("call.somebody"),
        known=queued_call(call),
        look=looks(words)[state_of(call)],
        hidden=hidden,
        closes=closes,
        stages=[] if hidden else [explained(call.answer(name) or {}, name, words.language) for name in call.answers],
        guardrails={rule.name: catalogue(words.language)(f"guardrail.{rule.name}") for rule in SHOWN},
        events=[] if hidden else [describe_event(one, words) for one in said],
        decimal=lambda value, digits=0: format_decimal(value, digits, language=words.language),
        data=data | {"time_zone": intake.release.time_zone},
    )


def explained(answer: dict[str, Any], stage: str, language: Language) -> dict[str, Any]:
    """Take the score of a stage apart: where it starts, each part by group, and the sum, all in log-odds.

    The parts and the start add up to the log-odds of the likelihood, exactly, whichever release made it. When there was
    no score, `log_odds` is None and there are no groups.
    """
    likelihood, groups = answer["prank_likelihood"], dict[str, list[dict[str, Any]]]()
    reasons = translate_reasons(answer["reasons"], language)
    largest = max((abs(reason["contribution"]) for reason in reasons), default=1.0) or 1.0
    for reason in reasons:
        reason["bar"] = BAR * abs(reason["contribution"]) / largest
        groups.setdefault(reason["group"], []).append(reason)
    total = math.fsum(reason["contribution"] for reason in reasons)
    log_odds = None if likelihood is None else math.log(likelihood) - math.log1p(-likelihood)
    return {
        "stage": stage,
        "one_in": answer.get("one_in"),
        "band": answer["band"],
        "defer_s": answer["defer_s"],
        "guardrails": answer["guardrails"],
        "release": answer["release"],
        "log_odds": log_odds,
        "start": None if log_odds is None else log_odds - total,
        "groups": [
            {"name": name, "sum": math.fsum(part["contribution"] for part in parts), "parts": parts}
            for name, parts in groups.items()
        ],
    }


def back_ms(said: list[dict[str, Any]]) -> float:
    """Return for how long a call can still be brought back that was closed while it waited, in milliseconds."""
    closed_us = [one["recorded_at_us"] for one in said if one["kind"] == "disposed" and "was" in one["body"]]
    return 1e3 * REOPENED_S - (now_us() - closed_us[-1]) / 1e3 if closed_us else 0.0


def describe_event(one: dict[str, Any], words: Catalogue) -> dict[str, Any]:
    """Describe an event of a call in words."""
    kind, body = one["kind"], one["body"]
    who = body.get("operator") or words("story.somebody")
    name, values = f"said.{kind}", {"who": who}
    if "why" in body:
        name += "_" + body["why"].replace(" ", "_")
    if kind in ("received", "scored", "ended") and (body.get("answer") or {}).get("one_in") is not None:
        values["rated"] = detail_text(body["answer"]["one_in"], held_out=False, language=words.language)
        name += "_rated"
    if kind == "disposed":
        parts = [words(f"disposition.{body['disposition']}"), category_of(body.get("category"), words)]
        values["how"] = ", ".join(part for part in parts if part)
        name += "_waiting" if body.get("was") == "waiting" else ""
    told_by = one["told_by"] if one["told_by"] != body.get("operator") else None
    return {"at_us": one["known_at_us"], "text": words(name, **values), "told_by": told_by}


def category_of(name: str | None, words: Catalogue) -> str | None:
    """Return a category in the page's language; one of the centre's own as it is."""
    return words.get(f"category.{name}", name) if name else None
