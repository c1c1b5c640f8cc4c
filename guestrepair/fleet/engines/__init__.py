"""Where the work on images is done: on this machine, or on the workers of a Dask scheduler."""
