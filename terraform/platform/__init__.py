"""What an environment stands on, whoever provides it: AWS by Terraform, or a data centre.

One document (`contract`), read from Terraform's outputs (`aws`) or written by hand, and the files of an environment
that are made from it (`files`). Applies nothing.
"""
