"""What guestrepair costs, side by side with what people use today, and how that grows with the guest."""
