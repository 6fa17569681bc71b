"""The page of an edge package, and the Python that runs in it; copied into packages, imported by nothing here."""
