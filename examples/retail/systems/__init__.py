"""Stand-ins for the retailer's systems: small programs that speak the real protocols and note what they saw."""
