"""Everything durable.

Here are the tables and their migrations, a call and its events as rows, group commit, reading, and the journal for what
the database could not take. It may import telemetry and below. An event and what it makes known of its call are one
transaction; nothing is acknowledged before it is on disk.
"""
