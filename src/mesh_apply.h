/* Carrying out what the matcher found: spans are given frames and groups are joined, in batches small
 * enough that nobody waits long. All under the mesh lock and the class lock; a batch begins and ends within
 * one hold of the latter. What has changed since the match is looked at again here. */
#ifndef MESH_APPLY_H
#define MESH_APPLY_H

#include "class_heap.h"

/* Most words of a run's bitmaps, each span's rounded up. */
enum { MESH_RUN_WORDS = 64 };

/* The span at `page` is of class c and can be matched: a leader, or in no group, not pinned, with room and
 * something in it. Whether another span of its group is pinned is seen when it is to move. */
bool mesh_candidate(uint32_t page, unsigned c);

/* Gives the `run` spans from `page` on frames of their own, where they have none. */
void mesh_lead(unsigned c, uint32_t page, uint32_t run);

/* The span at `page` is of class c, is mapped onto a frame from before a fork and is not pinned. */
bool mesh_is_stale(uint32_t page, unsigned c);
/* Gives those of the `run` spans from `page` on that are stale frames of their own. */
void mesh_renew(unsigned c, uint32_t page, uint32_t run);

/* A batch of joins: the k-th span of each run added, with all its group, is to join the group of the k-th
 * span from `leading` on. What does not fit any more is passed over. */
void mesh_join_begin(unsigned c, uint32_t leading, uint32_t run);
/* False if the batch is full. */
bool mesh_join_add(uint32_t page);
/* Does it. Returns how many spans gave up pages of their own. */
size_t mesh_join_end(void);

#endif
