"""One guest: its instance, thread, calls, memory and host functions. It knows nothing of streams or sockets."""
