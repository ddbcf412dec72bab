"""What goes in and out over HTTP, as types: requests and their fields, answers, problem documents.

It imports the words of `model.calls` and the masking of logs. A value that makes no sense is forgiven with a warning
where a call can still be scored, and refused by the field's name where it cannot; a caller's number stays in no other
field.
"""
