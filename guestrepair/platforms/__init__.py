"""What each platform requires of an image, as data: one TOML file each, every requirement with its source."""
