"""The room of `stocks`: does a share close higher on the next trading day?"""
