"""Peers that misbehave, below any WebSocket library: real sockets on the loopback interface.

A ``Rogue`` treats its first connections in one way of the table ``BEHAVIOURS`` and passes the rest on to a server that
behaves. A ``Forwarder`` stands in front of such a server and can stop the bytes without a word, which is what a
half-open connection is. ``HttpProxy`` and ``SocksProxy`` are proxies, ``certificates`` holds every kind of bad
certificate.
"""
