"""The admin interface: pages rendered on the server, for those who watch the traffic and repair it."""
