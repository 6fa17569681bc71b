"""The servers that ours is measured against, each written the way its own users write it."""
