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
/* Gives back the pages of up to `most` of the larger blocks that were free since the last meta_mark, but for some that are
 * always kept. True if that were so many: there may be more. */
bool meta_purge_some(size_t most);
/* Called now and then, when there are no more: those that are free from now on are for the next time. */
void meta_mark(void);
/* The pages of all that are free, but for some. */
void meta_purge_all(void);
/* A hint: there is something to purge, now or after the next mark. */
bool meta_purge_due(void);
/* For fork. */
struct Lock *meta_lock(void);
/* Bytes taken from the system and not given back. */
size_t meta_resident(void);

#endif
