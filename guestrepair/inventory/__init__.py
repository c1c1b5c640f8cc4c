"""What a system consists of and how it is set up, as lists of plain data: facts in, no judgement."""
