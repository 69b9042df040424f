"""The shelf that comes with the bus, installed as ``esb.mappings``: mappings, contracts and code lists ready for use.

Data only, each piece with its test cases. Nothing lies on it yet: a bus refers to files of its own directory.
"""
