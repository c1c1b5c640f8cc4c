"""An initramfs image: is it whole, and what is in it?

An image is a row of cpio archives in ``newc`` format, plain or compressed, with zeros between
(Documentation/driver-api/early-userspace/buffer-format.rst). It is read once, from the first byte to the
last, in pieces: the plain archives header by header, the compressed ones as they are unpacked. Nothing is
kept but the names and the few files that tell what the kernel can do with it.
"""

from guestrepair.formats.initramfs.image import Image, examine, problem

__all__ = ["Image", "examine", "problem"]
