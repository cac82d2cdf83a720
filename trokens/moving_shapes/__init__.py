"""Moving Shapes: what its shapes do, and from where they are seen. `trokens.moving_shapes.render` paints them."""
