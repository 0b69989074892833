"""Dataset-level selection analysis. Nothing is built here yet; see CHANGELOG.md."""
