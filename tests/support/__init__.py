"""What several test rooms share: plugins to run, exchanges to run them against, sockets in process, and waiting."""
