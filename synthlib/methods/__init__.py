"""The three methods, a module each: their stages as functions, in the order of the paper."""
