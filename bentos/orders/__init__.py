"""The room of `orders`: which orders need a second look."""
