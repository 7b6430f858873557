"""From the networks and an image of any size to its objects, and their scores."""
