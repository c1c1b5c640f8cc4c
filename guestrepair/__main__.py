"""``python -m guestrepair``."""

from guestrepair.cli.main import run

if __name__ == "__main__":
    run()
