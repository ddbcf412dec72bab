"""The supervisor's page: what is promised, whether it holds, what the order of the queue did, and the one switch."""

from datetime import datetime
from typing import Any

from fastapi import APIRouter, Request
from pydantic_core import from_json
from sqlalchemy.engine import Connection
from starlette.responses import Response

from model.errors import StoreError
from model.language.numbers import format_day, format_decimal, format_duration, format_elapsed
from service.console.catalogues.catalogue import words_of
from service.console.daily_stats import DAY_US, MARKED_US, MAX_MARKED, One, bands, deferred, marked, put, read, waits
from service.console.page import PageRoute, data_for, looks, now_us, page, refused
from service.http.centre import model_document
from service.http.dependencies import principal_of, scorer_of
from service.http.problem_responses import store_unavailable
from service.queue.states import waiting_since_us
from service.security.api_keys import Role
from service.security.pseudonyms import short_pseudonym
from service.security.route_access import require_role
from service.timestamps import microseconds

#: With fewer genuine calls a day's difference in waits is mostly chance.
ENOUGH = 30
router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/console/supervisor")
@require_role(Role.SCIENTIST)
async def supervisor_page(request: Request) -> Response:
    """Show it to admins, and to scientists without the switch."""
    words, who, intake, now = words_of(request), principal_of(request), scorer_of(request).intake, now_us()
    labels = intake.release.labels
    genuine = [name for name, label in labels.items() if label == 0]

    def of_the_store(connection: Connection) -> tuple[list[One], list[dict[str, Any]], list[dict[str, Any]]]:
        return read(connection, now - DAY_US), marked(connection, genuine, now - MARKED_US), put(connection)

    try:
        found, wrong, decided = await intake.store.in_thread(of_the_store)
    except StoreError as error:
        return refused(request, store_unavailable(error))
    document = await model_document(request)
    lived = waits(found, labels)
    return page(
        request,
        "supervisor.html",
        now_us=now,
        model=document,
        shadow=document.get("shadow"),
        switch=intake.operations.switch,
        may_stop=who.role is Role.ADMIN,
        put=[one | {"body": from_json(one["body"])} for one in decided],
        clocks=scorer_of(request).clocks.off(),
        elapsed=lambda seconds: format_elapsed(abs(seconds), language=words.language),
        calls=len(found),
        bands=bands(found, labels),
        waits=lived,
        few=sum(one.calls for one in lived if one.group == "genuine") < ENOUGH,
        deferred=deferred(found, labels),
        marked=wrong[:MAX_MARKED],
        more=len(wrong) > MAX_MARKED,
        looks=looks(words),
        short=short_pseudonym,
        at=lambda text: microseconds(datetime.fromisoformat(text)),
        us=microseconds,
        since=waiting_since_us,
        day=lambda text: format_day(text, intake.release.time_zone, language=words.language),
        decimal=lambda value, digits=0: format_decimal(value, digits, language=words.language),
        duration=lambda seconds: format_duration(seconds, language=words.language),
        data=data_for(
            words,
            *("sup.lost", "sup.changed", "stop.fault"),
            switch_on=intake.operations.switch.on,
            deferral_on=document["deferral"]["on"],
            time_zone=intake.release.time_zone,
        ),
    )
