"""Makes a call log of what a telephone system has written down: Asterisk's queue_log and CDRs.

It reads files and a table, joins what belongs to one call, and says what was joined, guessed and left out. It imports
the call log of `model`, and nothing of the service.
"""
