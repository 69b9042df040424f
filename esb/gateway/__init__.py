"""HTTP into the bus: ``app`` is what listens, ``serve`` runs it."""
