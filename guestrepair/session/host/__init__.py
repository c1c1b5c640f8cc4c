"""What the host reads of the guest's disks by itself, and only where it is certain."""
