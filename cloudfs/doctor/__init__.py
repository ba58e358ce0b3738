"""Diagnosis of a machine and a store: checks, each with findings and their fixes."""
