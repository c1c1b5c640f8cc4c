"""One launch: what is on the disks, what is mounted, and who answers: the host or the appliance."""
