"""The book's pictures, still and live."""
