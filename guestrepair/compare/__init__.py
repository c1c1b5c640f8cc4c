"""What is different between two systems, in their own terms: facts and files in, differences out."""
