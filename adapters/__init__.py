"""The adapters that come with the bus, installed as ``esb.adapters``: a module for each kind, found by entry point."""
