/* The matcher: which spans can share a frame. A pure function from bitmaps to groups; no locks, no
 * system calls, no allocation.
 *
 * Rows (a row is the bitmap of a span, or of a run of spans) that have no live slot in common go into one
 * group, any number of them, and the groups are to be few. This is bin packing with the slots of a frame
 * as the room, so the heuristic is that field's too: take the fullest row left as a new frame's first, add
 * the fullest other that fits until none does (best fit, decreasing: Johnson, "Near-optimal bin packing
 * algorithms", 1973), do so several times with another second row, and keep the best filling (minimum
 * bin slack: Gupta and Ho, 1999). A filling is better, the more rows still to be placed need its slots.
 *
 * What makes that fast is the layout: rows are kept by the column, a bit for each row in the words of a
 * slot (a bit-sliced signature file: Roberts, "Partial-match retrieval via the method of superimposed
 * codes", 1979). To OR the columns of the slots that a frame has taken tells for 512 rows at once which of
 * them fit, and mostly a few columns are enough to tell that none does.
 *
 * Time grows with the square of the number of rows, so many rows are dealt out into parts, matched one
 * after the other. Groups are final as soon as they are reported: the rows of a group may change from then
 * on, while the rest is still being matched. */
#ifndef MESH_MATCH_H
#define MESH_MATCH_H

#include "config.h"

enum {
  /* Rows matched with one another: more would pack a little better and take longer for each row. */
  MATCH_PART_ROWS = 1 << 17,
  /* Fillings tried for each frame ... */
  MATCH_TRIES = 16,
  /* ... unless those before took this many column looks for each slot of a row (about 3 ns a look):
   * rows of many slots are runs of many pages, where a better filling is worth more. */
  MATCH_LOOKS_PER_SLOT = 64,
};

typedef struct MeshMatch {
  /* The result so far. Row indices; valid in the memory given to mesh_match_begin. */
  uint32_t *member; /* rows, one group after the other, each with its fullest row, the leader, first */
  uint32_t *group;  /* leader of the group of each row that is in one; a leader's own is itself */
  size_t grouped;   /* entries of `member`: whole groups, but for empty rows, which come last and join the
                     * last group; all rows when done */
  size_t groups;    /* number of groups */

  /* The input. */
  const uint64_t *bitmaps;
  size_t count, slots, words; /* rows, bits of a row, words of a row */

  int64_t credit; /* of the step's budget */
  uint8_t phase;
  uint8_t tries; /* fillings of the frame tried so far */

  size_t parts, part;  /* number of parts; the one being matched */
  size_t rows;         /* of the part; below, a row is named by its index within it */
  size_t cursor;       /* next row to count, to sort or to report */
  size_t least;        /* fewest live slots of a row that is not empty */
  size_t sorted;       /* rows in `order` at first: those that could fit another, then the empty ones */
  uint16_t *occupancy; /* live slots of each row */
  uint32_t *rank;      /* by occupancy: the first place in `order`, later the first block, at or below it */

  /* The pool: rows that are in no group yet, in blocks, fullest first. */
  uint32_t *order;   /* the row at each position */
  uint64_t *alive;   /* a bit for each position: the row is still in the pool, and not in the frame */
  uint64_t *columns; /* for each block, for each slot, a bit for each position of the block */
  uint32_t *demand;  /* for each slot, the rows of the pool that have it live */
  size_t placed, left, blocks; /* positions; rows in the pool, less those in the frame; blocks of positions */
  size_t source;               /* word of `alive` being placed anew */
  uint64_t waiting;            /* rows of it that are not placed yet */

  /* The frame being filled. */
  uint16_t *taken;          /* its live slots, and room to pad */
  size_t used, leader_used; /* live slots: all; the leader's */
  size_t leader;            /* position */
  size_t block;             /* next block to look at */
  uint32_t *picks, *best;   /* positions of the other members: of this filling, of the best one */
  size_t picked, best_picked;
  uint64_t best_score;
  size_t looks;                 /* columns looked at for this frame */
  uint32_t hidden[MATCH_TRIES]; /* first picks of the fillings tried: no later one may have them */
  uint32_t last_leader;         /* row of the last group, as indexed by the caller */
} MeshMatch;

/* Bytes of memory for `count` rows of `slots` bits: 8 for each row, and at most 18 MiB. */
size_t mesh_match_memory(size_t count, size_t slots);

/* Starts to match `count` rows (fewer than 2^32) of `slots` bits (1 to 65535), each in bitmap_words(slots)
 * words, a bit set where a slot is live and none beyond the slots. `memory` is 8-aligned, not necessarily
 * cleared. Both must stay until the match is done; a row must not change until it is in a group. */
void mesh_match_begin(MeshMatch *m, void *memory, const uint64_t *bitmaps, size_t count, size_t slots);

/* Goes on for about `budget` ns (estimated: no clock is read), at least one small step. Returns true when
 * done. The result does not depend on the budgets. */
bool mesh_match_step(MeshMatch *m, size_t budget);

#endif
