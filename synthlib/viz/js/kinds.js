/* The kinds of figures of spec.py, drawn from the same description and tables as the static picture. */
