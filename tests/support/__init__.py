"""What several kinds of tests use: the installed program as a user runs it, and damage done to disks."""
