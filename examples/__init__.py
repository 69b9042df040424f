"""Complete bus directories that run; the wheel carries them as ``esb.examples``."""
