"""What may be seen of a guest: the view of its files, its devices and systems, what is mounted where."""
