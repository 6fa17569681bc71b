"""`python -m terraform.policies`, for whoever has no `bakehouse` command at hand."""

from terraform.policies.commands import main

main()
