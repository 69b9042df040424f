"""What tests of a bus, an adapter or a broker need: the scenarios that each must pass, real servers, and crashes."""
