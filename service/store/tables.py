"""The tables of the store, in one place; `service/store/migrations/` makes them in a database."""

import sqlalchemy as sa

#: The states of a call that is not over: `service.queue.states`.
LIVE_STATES = ("waiting", "taken", "answered")
tables = sa.MetaData()
#: What the histories of this database were made with, such as the version of the history.
facts = sa.Table(
    "facts",
    tables,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)
#: Every process that ever opened the database to write; each numbers its own events without a gap.
writers = sa.Table(
    "writers",
    tables,
    sa.Column("writer", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("started_at_us", sa.BigInteger, nullable=False),
    sa.Column("seen_at_us", sa.BigInteger, nullable=False),
    # Ids of the keys of the hash of numbers that it holds, in hex; null before it has said so.
    sa.Column("number_keys", sa.Text),
)
#: What is now known of each call, as its events left it.
calls = sa.Table(
    "calls",
    tables,
    sa.Column("call_id", sa.Text, primary_key=True),
    sa.Column("received_at_us", sa.BigInteger, nullable=False, index=True),
    sa.Column("caller", sa.LargeBinary),
    sa.Column("line", sa.Text),
    sa.Column("attestation", sa.Text),
    sa.Column("centre", sa.Text),
    sa.Column("queue", sa.Text),
    sa.Column("opening_duration_s", sa.Float),
    sa.Column("opening_silence_ratio", sa.Float),
    sa.Column("answered_at_us", sa.BigInteger),
    sa.Column("ended_at_us", sa.BigInteger),
    sa.Column("ended_by", sa.Text),
    sa.Column("duration_s", sa.Float),
    sa.Column("silence_ratio", sa.Float),
    sa.Column("disposition", sa.Text),
    sa.Column("category", sa.Text),
    sa.Column("incident_id", sa.Text),
    sa.Column("disposed_at_us", sa.BigInteger),
    sa.Column("history", sa.LargeBinary, nullable=False),
    sa.Column("surge_calls", sa.Float, nullable=False),
    sa.Column("surge_new", sa.Float, nullable=False),
    sa.Column("first_call", sa.Boolean, nullable=False),
    sa.Column("held_out", sa.Boolean, nullable=False),
    # What was shown, and what would have been without certificate, switch and random share: the monitor counts it.
    sa.Column("shown_band", sa.Text, nullable=False),
    sa.Column("silent_band", sa.Text, nullable=False),
    sa.Column("defer_s", sa.Float, nullable=False),
    # As last shown while it waited; null where nothing could be said, and in rows of before.
    sa.Column("genuine_like", sa.Float),
    sa.Column("one_in", sa.Integer),
    sa.Column("release", sa.Text),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("operator", sa.Text),
    sa.Column("changed_at_us", sa.BigInteger, nullable=False),
    sa.Column("extra", sa.Text, nullable=False),
    # Not with the call's events: `service.watch.silence` writes it by itself.
    sa.Column("heard_at_us", sa.BigInteger, nullable=False, server_default="0"),
    # By which it is ordered; null in rows of before, and of a process of before: at received_at.
    sa.Column("arrived_at_us", sa.BigInteger),
)
sa.Index(
    "ix_calls_live",
    calls.c.state,
    sqlite_where=calls.c.state.in_(LIVE_STATES),
    postgresql_where=calls.c.state.in_(LIVE_STATES),
)
sa.Index(
    "ix_calls_disposed_at_us",
    calls.c.disposed_at_us,
    sqlite_where=calls.c.disposed_at_us.is_not(None),
    postgresql_where=calls.c.disposed_at_us.is_not(None),
)
#: All that was ever said of calls, only added to. A chain is a caller (or one call that shows no number), and its
#: events are numbered without a gap: two processes that both add to it cannot both be the next.
events = sa.Table(
    "events",
    tables,
    sa.Column("writer", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("chain", sa.LargeBinary, nullable=False),
    sa.Column("nth", sa.Integer, nullable=False),
    # What was said of one call is found as fast however often its caller has rung.
    sa.Column("call_id", sa.Text, nullable=False, index=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("received_at_us", sa.BigInteger, nullable=False),
    sa.Column("known_at_us", sa.BigInteger, nullable=False),
    sa.Column("recorded_at_us", sa.BigInteger, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("answered", sa.Boolean),
    sa.Column("duration_s", sa.Float),
    sa.Column("silence_ratio", sa.Float),
    sa.Column("genuine", sa.Float),
    sa.Column("not_genuine", sa.Float),
    # The name of the access key by which it was told; none of what the service did by itself.
    sa.Column("told_by", sa.Text),
    sa.UniqueConstraint("chain", "nth", name="uq_events_chain"),
)
#: A caller's state once the first `included` of its events were told, and those that no reading had come after. It
#: follows from the base and the events, and only saves reading them all.
checkpoints = sa.Table(
    "checkpoints",
    tables,
    sa.Column("chain", sa.LargeBinary, primary_key=True),
    sa.Column("included", sa.Integer, nullable=False),
    sa.Column("state", sa.LargeBinary, nullable=False),
    sa.Column("pending", sa.Text, nullable=False),
)
#: The same of events that are no longer in `events`: what retention wrote down when it removed them.
bases = sa.Table(
    "bases",
    tables,
    sa.Column("chain", sa.LargeBinary, primary_key=True),
    sa.Column("included", sa.Integer, nullable=False),
    sa.Column("state", sa.LargeBinary, nullable=False),
    sa.Column("pending", sa.Text, nullable=False),
)
#: Access keys; of each only the SHA-256 is kept.
access_keys = sa.Table(
    "access_keys",
    tables,
    sa.Column("key_id", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("digest", sa.LargeBinary, nullable=False),
    sa.Column("created_at_us", sa.BigInteger, nullable=False),
    sa.Column("expires_at_us", sa.BigInteger),
    sa.Column("revoked_at_us", sa.BigInteger),
)
#: How often services on one database have seen each operator who holds a call: `service.queue.operator_leases`.
presence = sa.Table(
    "presence",
    tables,
    sa.Column("operator", sa.Text, primary_key=True),
    sa.Column("times", sa.BigInteger, nullable=False),
)
#: Callers who are never deferred, with the reason and the end of it.
protected = sa.Table(
    "protected",
    tables,
    sa.Column("chain", sa.LargeBinary, primary_key=True),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("expires_at_us", sa.BigInteger, nullable=False),
)
#: When callers were erased, by a mark that says nothing of them: `service.security.tombstones`.
tombstones = sa.Table(
    "tombstones",
    tables,
    sa.Column("mark", sa.LargeBinary, primary_key=True),
    sa.Column("erased_at_us", sa.BigInteger, nullable=False),
)
#: What people, or the monitor in their place, decided: the switch, the staff on duty, keys, erasures, retention.
#: Only added to, and never with a number in it; the latest of a kind counts.
decisions = sa.Table(
    "decisions",
    tables,
    # Not a sequence: whoever has read a number has read all before it. A number that was given and not yet committed
    # would be missed when a later one is read first.
    sa.Column(
        "seq",
        sa.Integer,
        primary_key=True,
        autoincrement=False,
        default=sa.text("(SELECT coalesce(max(seq), 0) + 1 FROM decisions)"),
    ),
    sa.Column("at_us", sa.BigInteger, nullable=False),
    sa.Column("who", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
)
#: The columns of a row, in order; and those of a call that may change. What a call is received with stays as it is, and
#: that it is still heard of is no event; the rest changes with each.
EVENT, CALL, CHECKPOINT = (tuple(table.c.keys()) for table in (events, calls, checkpoints))
FIXED = frozenset({"call_id", "received_at_us", "arrived_at_us", "caller", "history", "surge_calls", "surge_new",
                   "first_call", "heard_at_us"})  # fmt: skip
CHANGING = tuple(name for name in CALL if name not in FIXED)
