"""A whole deployment in one thread and in virtual time: the real control code on a bus that fails."""
