"""What people see: progress, reports, records and a seat at the terminal."""
