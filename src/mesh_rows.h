/* The rows of a size class: runs of neighbouring spans that are matched as one. First the spans that can be
 * matched are counted; then, of the length that was chosen by that, the rows are listed with their bitmaps. Either is
 * done a piece at a time, under the mesh lock; a piece holds the class lock. */
#ifndef MESH_MESH_ROWS_H
#define MESH_MESH_ROWS_H

#include "mesh_gain.h"

typedef struct MeshRows {
  unsigned c;         /* class */
  bool unsettled_too; /* spans that may yet become empty are not left alone */
  uint32_t cursor;    /* next page */

  RowCount lone;       /* spans that stand for themselves */
  RowCount bound;      /* those in rows that are groups already, by the length that each has: it is not cut */
  size_t unsettled;    /* spans that were left alone */
  size_t trimmed;      /* pages that were released because nothing lives there ... */
  unsigned purges;     /* ... by so many system calls in this piece */
  uint32_t stretch;    /* neighbouring spans so far, and free pages between them ... */
  uint32_t free_spans; /* ... of which these come last */
  uint32_t bound_row;  /* spans so far of the row that is bound */

  uint32_t run;      /* spans in a row */
  size_t count, max; /* rows listed, and how many may be */
  size_t words;      /* of a row's bitmap */
  uint32_t *page;    /* [count] first page of the row */
  uint64_t *bits;    /* [count * words] */
  uint32_t row_end;  /* page after the last row */
} MeshRows;

/* Trims spans and lets go those that could not go before, on the way. */
void mesh_rows_begin_count(MeshRows *r, unsigned c, bool unsettled_too);
/* False when all are counted. */
bool mesh_rows_count_some(MeshRows *r);

/* Bytes that `max` rows of `run` spans need. */
size_t mesh_rows_memory(const MeshRows *r, uint32_t run, size_t max);
/* `memory` reads zero. */
void mesh_rows_begin_list(MeshRows *r, uint32_t run, size_t max, void *memory);
/* False when all are listed. */
bool mesh_rows_list_some(MeshRows *r);

#endif
