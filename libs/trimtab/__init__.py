"""Trimtab: a retrieval-and-mapping pipeline on NATS that is steered while it runs."""

from trimtab.client import Client

__all__ = ["Client"]
