/* The metadata allocator: thread heaps, magazines and long bitmaps. Blocks are powers of two, kept for reuse by
 * size; the larger ones, full-size magazines, give their pages back when nobody wants them for a while. */
#ifndef MESH_META_H
#define MESH_META_H

#include "config.h"

enum { META_MIN_SHIFT = 4, META_MAX_SHIFT = 16 };

/* `size` at most 1 << META_MAX_SHIFT. Contents undefined. NULL when the system has no memory. */
void *meta_alloc(size_t size);
/* Where the system has no memory, meta_alloc asks `pages` for whole ones, without its lock. They are never given back. */
void meta_fall_back_on(void *(*pages)(size_t bytes));
/* `size` as given to meta_alloc. */
void meta_free(void *block, size_t size);
/* Called now and then: gives back the pages of blocks that were free since the last time, or of all that are free. Some
 * are always kept. */
void meta_purge(bool all);
/* A hint: there is something for it to do, now or when it is called again. */
bool meta_purge_due(void);
/* For fork. */
struct Lock *meta_lock(void);
/* Bytes taken from the system and not given back. */
size_t meta_resident(void);

#endif
