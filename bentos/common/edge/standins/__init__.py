"""Modules that stand in an edge package where a service has a library, or a part of ours that needs one."""
