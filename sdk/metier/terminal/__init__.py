"""What the command line shows: tables, progress bars, errors, shared options."""
