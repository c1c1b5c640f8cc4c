"""What this host has and lacks of what guestrepair needs; each is looked for where its user finds it."""
