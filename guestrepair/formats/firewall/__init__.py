"""Packet filters: nftables' language and iptables-save, both as the same rules of tests and verdicts.

Sources: nft(8), iptables-extensions(8), ip6tables-restore(8). What is not understood stands in a rule as
a test of unknown outcome, with the words that were not understood: it is never left out.
"""
