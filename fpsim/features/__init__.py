"""Feature networks that a user names as files, the images they see, and scores from their features."""
