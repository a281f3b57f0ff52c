/* What a mesh pass could win: which classes are worth one, what a mapping is worth, and how long the rows should
 * be. A row is a run of neighbouring spans that are matched as one. */
#ifndef MESH_GAIN_H
#define MESH_GAIN_H

#include "class_heap.h"

enum { RUN_LENGTHS = 5 }; /* rows of 1, 2, 4, 8 or 16 spans: MESH_RUN_SPANS */

bool class_meshes(unsigned c);
/* Spans of several pages can lose some of them without a partner. */
bool class_trims(unsigned c);

/* A pass over the class may be worth while. */
bool mesh_worth_while(unsigned c);

/* Spans of a class that can be matched. */
typedef struct RowCount {
  uint32_t slots;              /* of a span */
  uint32_t span_pages;
  size_t spans, live;          /* live slots of theirs */
  size_t fillers;              /* free pages, as spans, that rows of more than one take in between them */
  size_t gaps, holes;          /* where neither is, and where fillers are */
  size_t rows_of[RUN_LENGTHS]; /* rows that there are of 1, 2, 4, ... spans */
} RowCount;

/* Mappings that a class may spend, and what each has to win, in pages. */
typedef struct MapBudget {
  size_t maps;
  double price;
} MapBudget;

/* Such that what is left is spent where it wins most: at the least price at which all classes together ask for no
 * more, the others have theirs; at the price given, a step below, class c asks for as much as that leaves.
 * `counted` is what was counted of it, and there are so many `uncounted` spans as these;
 * of the others their occupancy is known. */
MapBudget mesh_map_budget(unsigned c, const RowCount *counted, size_t uncounted);

typedef struct RowPlan {
  uint32_t run; /* spans in a row: a power of two */
  size_t rows;  /* of that length ... */
  double gain;  /* pages to win, less the price of the mappings */
  bool mixed;   /* ... and what is left in shorter ones */
} RowPlan;

/* The rows, of up to `run_max` spans, that win most. Where not all fit into the budget, some of longer rows, so that
 * the others can be short; the longer of two lengths that are as good, because the cost of a move hardly
 * depends on it. */
RowPlan mesh_plan_rows(const RowCount *n, const MapBudget *budget, uint32_t run_max);

#endif
