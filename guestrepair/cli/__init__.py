"""The command line: one module a command, options in, one call, report out. Only here we exit."""
