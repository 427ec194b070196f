/*
 * A table for people: columns as wide as their widest cell, in columns of the terminal and not in bytes.
 */
#ifndef SERVER_CLI_TABLE_H
#define SERVER_CLI_TABLE_H

#include <stdbool.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "server/cli/text.h"

struct table;

/*
 * @heads: @columns texts that outlive the table, or NULL for none.  @right: bits of the columns that
 * are set to the right.  NULL: no memory.
 */
struct table *table_new(const char *const *heads, size_t columns, unsigned right);
void table_free(struct table *table);

static inline void
table_freep(struct table **table)
{
	table_free(*table);
}

/* The next cell, row by row. */
void table_cell(struct table *table, enum style style, const char *format, ...) _printf_(3, 4);

/* Writes every row that is full, @indent columns in.  -ENOMEM: a cell was lost, nothing is written. */
int table_print(const struct table *table, FILE *out, size_t indent, bool colour) _must_check_;

#endif
