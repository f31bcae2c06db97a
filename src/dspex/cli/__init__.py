"""The command, one file for each noun."""
