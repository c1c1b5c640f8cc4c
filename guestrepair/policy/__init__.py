"""What a user holds against a guest beside the rules: a policy and a baseline.

It weighs findings after the analysis; it never changes what an analyzer looks at or finds.
"""
