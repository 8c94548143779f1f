"""What the scripts look at: receptive fields, patches, saliency, shifts; and their figures."""
