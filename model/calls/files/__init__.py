"""The call log as people have it on disk: what a file is, its names, its values, and what is wrong with it.

A file becomes a table of what it holds (`csv_table`, `workbook`, `raw_log`), its columns get the contract's names
(`header`, `mapping`), its texts become values (`conversion`), and what remains is looked at as calls
(`contradictions`, `stray_rows`). `model.calls.call_log` goes this way.
"""
