"""Parsers without I/O: bytes in, values out; lossless where they are written back; they raise FormatError only."""
