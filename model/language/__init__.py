"""The two languages: a catalogue of texts each (`en.toml`, `id.toml`), and how numbers and days are written in them.

Nothing is decided here: a room above hands over facts, and a text says them. It imports nothing of the house, reads a
catalogue when it is first asked for, and Babel (plural forms, days, the marks of Indonesian numbers) when it is needed:
a service that says reasons in English never imports it. Promised: both catalogues have the same texts and gaps.
"""
