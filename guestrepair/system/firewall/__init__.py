"""The firewall that the guest loads at boot, and whether a login over ssh gets through it."""
