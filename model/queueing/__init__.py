"""The operators' queue, replayed under an order of service.

Here are the event loop, the replay, what varies from replay to replay (load, weeks, patience), and the groups of
callers of whom a replay tells who gains and who loses. It may import certification and all below.
"""
