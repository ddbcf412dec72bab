"""Tells the service how operators closed calls in another system, such as a CAD that exports them in the evening."""

from typing import TYPE_CHECKING, NamedTuple

import pandas as pd

if TYPE_CHECKING:
    from service.client.clients import Client


class Told(NamedTuple):
    """What became of outcomes.

    Parameters
    ----------
    kept : int
        So many the service has, or the outbox.
    refused : list of str
        The calls whose outcome the service did not take, such as one that it never heard of.
    why : str
        What it said of the last of these.
    """

    kept: int
    refused: list[str]
    why: str


def tell_outcomes(client: "Client", outcomes: pd.DataFrame) -> Told:
    """Tell outcomes in the order in which they became known, so that the last of a call is the one that holds.

    Parameters
    ----------
    outcomes : pandas.DataFrame
        As `read_outcomes` gives them.
    """
    kept = 0
    refused: list[str] = []
    why = ""
    in_order = outcomes.sort_values("disposed_at", kind="stable")
    times = in_order["disposed_at"].dt.to_pydatetime().tolist()
    texts = in_order[["call_id", "disposition", "category"]].astype("object").where(in_order.notna(), None)
    for (call_id, disposition, category), at in zip(texts.values.tolist(), times, strict=True):
        answer = client.disposition(call_id, disposition, at, category)
        if answer["durable"] or answer["queued"]:
            kept += 1
        else:
            refused.append(call_id)
            why = str(answer["warnings"][0]["detail"]) if answer["warnings"] else ""
    return Told(kept, refused, why)
