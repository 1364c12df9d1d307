"""Judges of real language: labelled pairs, the two NLI judges, and how far one can be trusted."""
