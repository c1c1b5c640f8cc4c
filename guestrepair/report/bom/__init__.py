"""The inventory of a system as other programs and people read it; loaded when one is asked for."""
