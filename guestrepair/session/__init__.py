"""One launch: what is on the disks, what is mounted, and who answers a question: the host or the appliance."""
