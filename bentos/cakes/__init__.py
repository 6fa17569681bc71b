"""The room of `cakes`: which flavours will be liked?"""
