"""Sagas: steps with compensations (Garcia-Molina & Salem, 1987). Definition and transitions: pure, no I/O, no clock."""
