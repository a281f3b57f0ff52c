/* What a mesh pass could win: which classes are worth one, how the mappings are shared out, and how long the rows
 * should be. A row is a run of neighbouring spans that are matched as one. */
#ifndef MESH_GAIN_H
#define MESH_GAIN_H

#include "class_heap.h"

enum { RUN_LENGTHS = 5 }; /* rows of 1, 2, 4, 8 or 16 spans: MESH_RUN_SPANS */

bool class_meshes(unsigned c);
/* Spans of several pages can lose some of them without a partner. */
bool class_trims(unsigned c);

/* Spans with physical pages of their own if a pass over the class is worth while, otherwise 0. */
size_t mesh_worth_while(unsigned c);
/* The mappings left, shared out by the number of spans among the classes that could use them. */
size_t mesh_maps_left(unsigned c);

/* Spans of a class that can be matched. */
typedef struct RowCount {
  uint32_t slots;              /* of a span */
  size_t live_percent;         /* of their slots; at least 1 */
  size_t rows_of[RUN_LENGTHS]; /* rows that there are of 1, 2, 4, ... spans */
} RowCount;

typedef struct MapsLeft {
  size_t maps; /* that the class may use */
  bool scarce; /* they are fewer than its spans */
  bool filled; /* because of that, free pages between spans are taken into rows */
} MapsLeft;

/* The run length that wins most; of those about as good the longest, because the cost of a move hardly depends
 * on its length. A power of two up to `run_max`. */
uint32_t mesh_choose_run(const RowCount *n, const MapsLeft *left, uint32_t run_max);

#endif
