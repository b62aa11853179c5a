"""Kinds of data, one file each: how stored samples become an encoder's input, and how its layers become features."""
