"""What a score means for a call.

Here are the guardrails, the fitted deferral curve, bands, and the seconds of a deferral. It may import the scorecard
and all below. A policy is a pure function of values and time; a guardrail can only bring a call forward, and no call is
deferred by more than max_defer_s.
"""
