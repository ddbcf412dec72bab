"""Connects a running FreeSWITCH with mod_callcenter: it asks for each call's place, and tells what becomes of the call.

`event_socket` speaks its protocol in both directions; `place_server` answers the dialplan, `call_follower` reports what
the events say. It imports the client, and nothing of the service.
"""
