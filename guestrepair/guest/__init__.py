"""Everything that talks to libguestfs: launch, the read-only view of a guest, the writer."""
