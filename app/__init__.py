"""The page: a Gradio app over ``dynamask``. It holds no model code and no maths of its own."""
