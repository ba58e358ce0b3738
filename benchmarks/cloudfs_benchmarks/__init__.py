"""Datasets, training scripts and measurements that run against a mounted directory."""
