"""Instance segmentation with pixel embeddings, learned from a few annotated objects per image (SPOCO)."""
