"""From rows with labels to a scorecard.

Here are the boosting of a stage, which has no interactions, where its features may turn, the pairs of features that are
worth a table of their own, the calibration on later calls, and the distillation into steps. It may import certification
and all below.
"""
