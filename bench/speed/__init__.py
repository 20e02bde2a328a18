"""How fast this server is, against what Pyramid on waitress can do, and against its peers."""
