"""What a release comes with for people: the report and the model card.

Python decides the facts (`answer.py`) and what is drawn (`charts.py`, `step_charts.py`); the templates say and draw it,
in English themselves, the answer in both languages from the catalogues of `model.language`. It imports the rooms below
and Jinja. Promised: what comes from a log or a setting cannot write HTML.
"""
