"""Makes a program better: the problem, the ledger, the race and the proposers."""
