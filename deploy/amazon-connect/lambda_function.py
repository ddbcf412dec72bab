"""Amazon Connect asks, before it transfers a call to a queue, by how much the call may be put back."""

import os
from datetime import UTC, datetime

from service.client import Client

#: A flow can change the routing age by written-down numbers only: one block a minute of deferral.
STEP_S = 60
#: Made once, when Lambda starts a copy of the function.
saring = Client(os.environ["SARING_URL"], os.environ["SARING_KEY"], deadline_s=1.0)


def lambda_handler(event: dict, _context: object) -> dict[str, str]:
    """Return what the flow reads as `$.External`; without an answer of Saring, what puts nobody back."""
    contact = event["Details"]["ContactData"]
    caller = (contact.get("CustomerEndpoint") or {}).get("Address")
    answer = saring.score({"call_id": contact["InitialContactId"], "received_at": datetime.now(UTC), "caller": caller})
    step_s = int(answer["defer_s"]) // STEP_S * STEP_S  # never longer than was proven
    return {"step_s": str(step_s), "defer_s": f"{answer['defer_s']:.3f}", "band": answer["band"]}
