"""The checks behind the catalogue, by what they look at: interface, imports, instantiation and build."""
