"""What an edge package is made of besides the bento's own code: the runner, the page, and what stands in for libraries.

These files are copied into packages and run there; here nothing imports them. `bentos.common.edge_package` copies them.
"""
