"""Puts the application together and runs it.

That is settings, release, store, intake, routes and middleware, in one process on a SQLite file, in one or several on
PostgreSQL. It may import every room below. What is opened is closed in the reverse order, and no request is taken
before everything is open.
"""
