"""Circuits of other projects: entries of MIB's circuit track (JSON and .pt), and edges and weights of InterpBench's models."""
