"""What ``esb test`` runs: cases in ``*.test.yaml`` beside mappings and flows, on the real engine, without a broker."""
