"""Many images in one run: a process an image, kept in a state directory that survives a kill."""
