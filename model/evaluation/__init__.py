"""How a release does on calls later than all that it was made from.

Here are ranking, calibration, waits and losses in the replayed queue, fairness by slice, the price of each guardrail,
and baselines. It may import training and all below. Nothing is fitted on the calls that are evaluated, and every figure
has an interval or is null.
"""
