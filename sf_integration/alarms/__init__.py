"""Who is told when something is amiss, how loudly, and when it is over."""
