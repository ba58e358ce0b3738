"""What `cloudfs doctor` finds out: checks of one machine and one store, each with a finding and a
fix."""
