"""What the guest is set up to do: read once, typed, and honest. No rules here, and no repairs.

Each module knows one thing (units, boot loader, accounts…) and gives it as facts: a value, or
:class:`~guestrepair.system.fact.Unreadable`. Nothing here returns an empty stand-in for an error.
"""
