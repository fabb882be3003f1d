"""Bodies of REST v2, by section of `properties`."""
