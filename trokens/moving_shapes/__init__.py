"""Moving Shapes: what its shapes do, and from where they are seen. `trokens.data.synthetic` paints them."""
