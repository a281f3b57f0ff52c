/* Carrying out what the matcher found: spans are given frames and groups are joined, in batches small
 * enough that nobody waits long. All under the mesh lock and the class lock; a batch begins and ends within
 * one hold of the latter. What has changed since the match is looked at again here. */
#ifndef MESH_APPLY_H
#define MESH_APPLY_H

#include "class_heap.h"

enum {
  MESH_RUN_SPANS = 16, /* most spans of a run ... */
  MESH_RUN_WORDS = 64, /* ... and most words of its bitmaps, each span's rounded up */
};

/* The pages at `page` could be a filler of class c; whether they are still free is seen when it is to move. */
bool mesh_fillable(uint32_t page, unsigned c);

/* The span at `page` is of class c and can be matched: a leader, or in no group, not pinned, with room and
 * something in it. Whether another span of its group is pinned is seen when it is to move. */
bool mesh_candidate(uint32_t page, unsigned c);

/* A batch: runs of `run` spans of class c are put on frames of their own, and others join them there. Free
 * pages between the spans of a run are made fillers, spans with no live slot: so the run is one mapping. */
void mesh_batch_begin(unsigned c, uint32_t run);
/* The spans from `page` on lead what is added next; those that have no frame are given one. False if the
 * batch is full. */
bool mesh_batch_lead(uint32_t page);
/* The k-th span from `page` on is to join the k-th leading one, with all its group. What does not fit any
 * more is passed over. False if the batch is full. */
bool mesh_batch_join(uint32_t page);
/* Does it. Returns how many spans gave up pages of their own. */
size_t mesh_batch_end(void);

/* The span at `page` is of class c, is mapped onto a frame from before a fork and is not pinned. */
bool mesh_is_stale(uint32_t page, unsigned c);
/* A batch that gives those of the `run` spans from `page` on that are stale frames of their own. */
void mesh_renew(unsigned c, uint32_t page, uint32_t run);

#endif
