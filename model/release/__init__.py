"""From a call log to a release, and from a challenger to a champion.

Here are the release folder, the pipeline that makes one, MLflow tracking, registry and model flavour, and the gate of a
promotion. It may import every other room of `model` but simulation, and nothing imports it. A folder is a release once
its manifest is there: it is written last, and whoever reads a release refuses one that is not whole.
"""
