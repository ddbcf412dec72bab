"""The call log's contract.

Here are its columns and their values, telephone numbers, reading and writing a log, and the log as arrays that a kernel
can read. It imports nothing but the errors. A row that breaks the contract is refused by name, line and what was
expected; a file that is written appears whole or not at all.
"""
