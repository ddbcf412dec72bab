"""What is proven about genuine callers, and whether it still holds.

Here are bounds of finite samples, the proofs, the certificate, the e-process that watches it, and drift of the calls
against a release's profile. It may import policy and all below. Without a proof nothing is deferred or flagged; what
cannot be computed counts as not proven.
"""
