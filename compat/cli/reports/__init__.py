"""Reports on modules in the forms that people and other programs read: one module for each."""
