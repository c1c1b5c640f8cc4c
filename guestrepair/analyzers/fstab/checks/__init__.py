"""One module for each thing that may be wrong with a table of mounts."""
