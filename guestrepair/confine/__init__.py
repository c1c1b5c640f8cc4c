"""What holds the programs that look at hostile bytes: they can open nothing but what they need.

``cage.py`` says what that is, ``process.py`` starts programs in it, ``means.py`` knows what this kernel has.
(Nothing is imported here: ``launcher.py`` has to start fast.)
"""
