"""Parsers without I/O: bytes in, values out, lossless where written back; FormatError is all they raise."""
