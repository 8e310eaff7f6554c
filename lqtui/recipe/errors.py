"""What recipes refuse, in sentences for the person who wrote them."""


class RecipeError(ValueError):
    """A recipe, type or selector that cannot be used; the message is one clear sentence."""
