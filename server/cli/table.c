#include "server/cli/table.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#define GAP 2

struct cell {
	char *text;
	enum style style;
};

struct table {
	const char *const *heads;
	size_t columns;
	unsigned right;
	struct cell *cells;
	size_t n, room;
	bool lost; /* a cell found no memory */
};

struct table *
table_new(const char *const *heads, size_t columns, unsigned right)
{
	struct table *table = calloc(1, sizeof(*table));

	if (table) {
		table->heads = heads;
		table->columns = columns;
		table->right = right;
	}
	return table;
}

void
table_free(struct table *table)
{
	if (!table)
		return;
	for (size_t i = 0; i < table->n; i++)
		free(table->cells[i].text);
	free(table->cells);
	free(table);
}

static bool
room_make(struct table *table)
{
	const size_t room = table->room ? table->room * 2 : 64;
	struct cell *cells;

	if (table->n < table->room)
		return true;
	cells = reallocarray(table->cells, room, sizeof(*cells));
	if (!cells)
		return false;
	table->cells = cells;
	table->room = room;
	return true;
}

void
table_cell(struct table *table, enum style style, const char *format, ...)
{
	char *text = NULL;
	va_list ap;
	int n;

	va_start(ap, format);
	n = vasprintf(&text, format, ap);
	va_end(ap);
	if (n < 0 || !room_make(table)) {
		table->lost = true;
		if (n >= 0)
			free(text);
		return;
	}
	table->cells[table->n++] = (struct cell){text, style};
}

static void
spaces(FILE *out, size_t n)
{
	fprintf(out, "%*s", (int)n, "");
}

struct row {
	const struct table *table;
	const size_t *width;
	size_t indent;
	bool colour;
};

/* Nothing is filled up behind the last cell. */
static void
row_print(const struct row *row, const struct cell *cells, FILE *out)
{
	size_t pending = row->indent;

	for (size_t c = 0; c < row->table->columns; c++) {
		const size_t pad = row->width[c] - text_width(cells[c].text);
		const bool right = row->table->right & BIT(c);

		if (*cells[c].text) {
			spaces(out, pending + (right ? pad : 0));
			fputs(style_begin(cells[c].style, row->colour), out);
			text_put(out, cells[c].text);
			fputs(style_end(cells[c].style, row->colour), out);
			pending = 0;
		} else {
			pending += right ? pad : 0;
		}
		pending += (right ? 0 : pad) + GAP;
	}
	fputc('\n', out);
}

int
table_print(const struct table *table, FILE *out, size_t indent, bool colour)
{
	_cleanup_(freep) size_t *width = calloc(table->columns, sizeof(*width));
	_cleanup_(freep) struct cell *heads = calloc(table->columns, sizeof(*heads));
	const size_t full = table->n - table->n % table->columns;
	const struct row row = {table, width, indent, colour};

	if (!width || !heads || table->lost)
		return -ENOMEM;
	for (size_t c = 0; table->heads && c < table->columns; c++) {
		heads[c] = (struct cell){(char *)(uintptr_t)table->heads[c], STYLE_HEAD};
		width[c] = text_width(table->heads[c]);
	}
	for (size_t i = 0; i < full; i++)
		width[i % table->columns] = MAX(width[i % table->columns], text_width(table->cells[i].text));
	if (table->heads)
		row_print(&row, heads, out);
	for (size_t i = 0; i < full; i += table->columns)
		row_print(&row, &table->cells[i], out);
	return 0;
}
