"""What functions of a module keep from call to call."""


def forget(*modules):
    """Empty every cache of a function that the modules hold."""
    for module in modules:
        for held in vars(module).values():
            if hasattr(held, "cache_clear"):
                held.cache_clear()
