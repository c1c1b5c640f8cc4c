"""Inputs at their worst: what takes time or memory, or ends in the middle. Minutes, not seconds."""
