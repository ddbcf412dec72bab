"""The operators' queue: replayed under an order of service, and the policy fitted to a centre by that replay.

Here are the event loop, the replay, what varies from replay to replay (load, weeks, patience), the groups of callers of
whom a replay tells who gains and who loses, and the search for a policy by which none of them does. It may import
certification and all below. A replay is exact, and the same for the same seed.
"""
