"""What writes the formats that are imported only when they are asked for."""
