"""From a call and its caller's history to a score and its exact reasons.

Here are the one table of features, the features of a whole log, and the additive step functions. It may import history,
calls and language. Scoring a log and scoring one call run the same compiled kernels, so both give the same bits.
"""
