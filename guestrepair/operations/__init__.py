"""What each command does, from opening the image to the report; ``cli/`` only calls it."""
