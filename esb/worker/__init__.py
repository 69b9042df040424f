"""What takes messages from the broker and moves them on: the way in, flows, endpoints, and the sweeper behind them."""
