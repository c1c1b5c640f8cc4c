"""Reports: one module a format. Everything that comes from the guest is escaped on its way out."""
