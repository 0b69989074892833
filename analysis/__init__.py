"""Dataset-level selection analysis: runs over a COCO set, their tables, figures and reports."""
