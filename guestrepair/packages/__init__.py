"""Package databases behind one protocol, and the sources that missing files come from."""
