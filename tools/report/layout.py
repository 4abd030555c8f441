"""Places a panel's axes by the extent of what is written around them, and measures the result."""
from matplotlib.text import Text

PAD = 5            # points between what is written and the edge of the figure
LEAST_AXES = 120   # points that axes must keep in width and height
TOUCH = 1.0        # points by which boxes of two texts may overlap: boxes have margins of their own


def fit(drawing, axes):
    """Moves the edges of the axes until labels and colour bars just fill the figure."""
    renderer = drawing.canvas.get_renderer()
    width, height = drawing.bbox.size
    x0, y0, x1, y1 = 56.0, 44.0, width - 12.0, height - 8.0
    for _ in range(4):
        axes.set_position([x0 / width, y0 / height, (x1 - x0) / width, (y1 - y0) / height])
        axes.apply_aspect()
        taken = axes.get_tightbbox(renderer)
        moves = (PAD - taken.x0, PAD - taken.y0, width - PAD - taken.x1, height - PAD - taken.y1)
        if max(map(abs, moves)) < 0.5:
            break
        x0, y0, x1, y1 = x0 + moves[0], y0 + moves[1], x1 + moves[2], y1 + moves[3]
        if min(x1 - x0, y1 - y0) < 10:
            break


def texts(axes):
    """Every text that an axes shows, its tick labels in view and those of its children with it."""
    found = [axes.title, axes._left_title, axes._right_title, *axes.texts]
    for axis in (axes.xaxis, axes.yaxis):
        found += [axis.label, axis.offsetText]
        for tick in axis._update_ticks():
            found += [tick.label1, tick.label2]
    if axes.get_legend():
        found += axes.get_legend().get_texts()
    for child in axes.child_axes:
        found += texts(child)
    return [t for t in found if isinstance(t, Text) and t.get_visible() and t.get_text().strip()]


def problems(drawing, scale=1.0):
    """What is wrong with a figure that will be shown at this scale: sentences, none if all is well."""
    renderer, found = drawing.canvas.get_renderer(), []
    for axes in drawing.axes:
        box = axes.get_window_extent(renderer)
        if min(box.width, box.height) * scale < LEAST_AXES:
            found.append(f"axes of {box.width * scale:.0f} x {box.height * scale:.0f} points")
        boxes = [(t.get_text(), t.get_window_extent(renderer)) for t in texts(axes)]
        for i, (text, a) in enumerate(boxes):
            if a.x0 < -TOUCH or a.y0 < -TOUCH or a.x1 > drawing.bbox.x1 + TOUCH \
                    or a.y1 > drawing.bbox.y1 + TOUCH:
                found.append(f"“{text}” leaves the figure")
            for other, b in boxes[:i]:
                if min(a.x1, b.x1) - max(a.x0, b.x0) > TOUCH \
                        and min(a.y1, b.y1) - max(a.y0, b.y0) > TOUCH:
                    found.append(f"“{text}” and “{other}” overlap")
    return found
