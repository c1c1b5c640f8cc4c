"""Repairs: which findings to repair, in what order, with what; carried out on an overlay and verified."""
