"""The control socket of a mount: protocol, server, client, and unix sockets."""
