"""What reads and writes during a measurement: fio on mounted targets, our own reader elsewhere."""
