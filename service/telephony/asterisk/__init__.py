"""Connects a running Asterisk: it asks Saring for each call's place, and Saring hears what becomes of the call.

`fast_agi` and `manager` speak Asterisk's two protocols; `place_server` answers the dialplan, `call_follower` reports
what the manager's events say, `priorities` moves waiting callers forward. It imports the client, and nothing of the
service.
"""
