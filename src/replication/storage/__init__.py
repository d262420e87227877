"""Tables, tensor files, and the records of what they were made from."""
