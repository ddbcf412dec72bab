"""Connects Saring to telephone systems: Asterisk, FreeSWITCH and SIP proxies.

`archive` makes a call log of the logs that a telephone system has written. What is live speaks to the service by its
public API, through `service.client`, as any intake system would: on any fault the queue stays first come, first served.
"""
