"""A seeded CFD dataset with closed-form physics, in `run_i/` folders of VTU, HDF5, NPZ and CSV."""
