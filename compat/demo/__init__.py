"""The simulated exchange that plugins are demonstrated and tested against; import its modules by name."""
