"""A retailer's bus: tills, warehouse, search and archive. ``demo`` starts it with its stand-in systems."""
