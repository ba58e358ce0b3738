"""What `cloudfs doctor` finds out: checks of one store, each with a finding and a fix."""
