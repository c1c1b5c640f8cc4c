"""What guestrepair costs, side by side with what people use today and with the floor: ``make bench``."""
