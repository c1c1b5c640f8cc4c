"""The analyzers, one module (or folder) an area. They read a guest and return findings; they never write."""
