"""What a running service does by itself.

Here are expiry of silent calls, following other processes, the certificate's monitor, drift, the challenger in shadow,
new releases, and the registry's mirror. It may import maintenance and all below. Whatever fails here is logged and
tried again; it never holds up a call.
"""
