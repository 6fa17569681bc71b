"""Governance as code: rules over the Terraform sources, plans and states, waivers, and who can reach what.

Run with `bakehouse governance`, or `python -m terraform.policies`. Knows no AWS account: it reads files.
"""
