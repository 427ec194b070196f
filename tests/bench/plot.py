"""One picture: a panel a figure, a bar a program, its range over the rounds as a line."""
import html

from figures import median, number, values

PANEL_WIDTH, ROW, HEAD, GAP, LABEL, VALUE = 470, 22, 34, 22, 150, 56
COLUMNS = 2
OURS, THEIRS, STICK, INK, FAINT = "#2563a8", "#9aa7b4", "#d7dde3", "#1d2730", "#5d6b78"


def colour(program):
    if program.startswith("ceiling") or program.startswith("null") or program.startswith("AEAD"):
        return STICK
    return OURS if program.startswith("warren") else THEIRS


def text(x, y, words, size=12, anchor="start", fill=INK, weight="normal"):
    return (f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{fill}" font-weight="{weight}">'
            f"{html.escape(words)}</text>")


def panel(x, y, title, rows):
    """@rows: [(program, values)]"""
    longest = max(max(v) for _, v in rows)
    room = PANEL_WIDTH - LABEL - VALUE
    out = [text(x, y + 15, title, 13, weight="bold")]
    for i, (program, numbers) in enumerate(rows):
        top = y + HEAD - 8 + i * ROW
        middle = median(numbers)
        scale = room / longest if longest else 0
        out.append(text(x + LABEL - 8, top + 14, program, 12, "end"))
        out.append(f'<rect x="{x + LABEL}" y="{top + 2}" width="{max(middle * scale, 1):.1f}" height="{ROW - 6}" '
                   f'fill="{colour(program)}"/>')
        line = top + ROW / 2 - 1
        out.append(f'<path d="M{x + LABEL + min(numbers) * scale:.1f} {line}H{x + LABEL + max(numbers) * scale:.1f}" '
                   f'stroke="{INK}" stroke-width="1.2"/>')
        out.append(text(x + LABEL + max(numbers) * scale + 5, top + 14, number(middle), 12, fill=FAINT))
    return "\n".join(out)


def plot(samples, panels, order):
    """@panels: [(title, case, figure)].  Panels without samples are left out; None if all are."""
    filled = []
    for title, case, figure in panels:
        rows = [(p, values(samples, case, p, figure)) for p in order]
        rows = [(p, v) for p, v in rows if v]
        if rows:
            filled.append((title, rows))
    if not filled:
        return None
    parts, y = [], GAP
    for at in range(0, len(filled), COLUMNS):
        line = filled[at:at + COLUMNS]
        for column, (title, rows) in enumerate(line):
            parts.append(panel(GAP + column * (PANEL_WIDTH + GAP), y, title, rows))
        y += HEAD + ROW * max(len(rows) for _, rows in line) + GAP
    width = COLUMNS * (PANEL_WIDTH + GAP) + GAP
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {y}" width="{width}" height="{y}" '
            f'font-family="system-ui, sans-serif">\n<rect width="{width}" height="{y}" fill="#ffffff"/>\n'
            + "\n".join(parts) + "\n</svg>\n")
