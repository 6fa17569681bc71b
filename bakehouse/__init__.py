"""What every part of Bakehouse stands on: errors, gates and the workspace. Standard library and pydantic only."""
