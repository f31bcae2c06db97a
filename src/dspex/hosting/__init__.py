"""Where runs live and evaluations run: in this process, in processes of their own, under a supervisor."""
