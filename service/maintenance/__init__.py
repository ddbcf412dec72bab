"""What is done to stored calls by a command or an administrator.

Here are verify, rebuild, retention, erasure, the keys of the number hash, import and export. It may import intake and
all below. Each is one transaction a batch, can be interrupted at any moment and run again.
"""
