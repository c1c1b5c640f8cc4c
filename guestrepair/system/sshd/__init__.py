"""What a guest's own sshd is, what it is told to do, and what it needs: facts, no verdicts.

``sshd.py`` has it all as one object; each of the others knows one thing.
"""
