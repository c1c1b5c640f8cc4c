"""Images that lie elsewhere, or wrapped in something: attached, so that they are opened as a file is.

``location.py`` reads the name, ``attachment.py`` does what it takes: ``nbdkit.py`` starts the program that
gives out a source's raw bytes on a socket, ``http_source.py`` the child that asks an HTTP server for them,
``unpack.py`` the child that unpacks what is compressed, or finds a file in an archive.
"""
