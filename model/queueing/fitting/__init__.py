"""The search for a policy: what closes most of the gap to a perfect order while no group of genuine callers loses.

`policy_search` is the way in; `exposure` says what a shape and caps do without a replay, `policy_trial` with one.
"""
