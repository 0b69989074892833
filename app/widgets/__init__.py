"""Components that Gradio does not have; their scripts and styles are real files beside them."""
