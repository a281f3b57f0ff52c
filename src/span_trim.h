/* Purging the pages of a span that no live slot touches: all that can be done for objects of a page or
 * more, and for the empty pages of longer spans. Costs no mapping. Called under the class lock. */
#ifndef MESH_SPAN_TRIM_H
#define MESH_SPAN_TRIM_H

#include "class_heap.h"

/* Purges what can be of the span at `page`, if something was drained into it since the last time. Returns by how many
 * system calls. */
unsigned span_trim(ClassHeap *h, uint32_t page);

/* The span's pages are about to be used again, or are no longer a span's. */
static inline void span_untrim(ClassHeap *h, MiniHeap *mh) {
  h->trimmed_pages -= mh->trimmed;
  mh->trimmed = 0;
}

#endif
