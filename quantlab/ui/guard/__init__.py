"""What stands between the network and the page: addresses, sizes of requests, lines of the log."""
