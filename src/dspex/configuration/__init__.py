"""From files and environment to objects, each knowing where its values came from."""
