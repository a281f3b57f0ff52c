/* Figures about the heap, gathered on demand; nothing is counted on a fast path. Exact while no other
 * thread allocates. */
#ifndef MESH_STATS_H
#define MESH_STATS_H

#include "config.h"

typedef struct HeapStats {
  size_t live_bytes;     /* in objects the program holds, rounded up to their slots or pages */
  size_t cached_bytes;   /* in free slots that threads and the depot hold */
  size_t free_bytes;     /* in free slots of spans, without those on trimmed pages */
  size_t waste_bytes;    /* in the ends of spans, too short for a slot */
  size_t large_bytes;    /* the part of live_bytes in large blocks */
  size_t large_count;
  size_t dirty_bytes;    /* in free pages that are still resident */
  size_t active_bytes;   /* in pages of spans and large blocks, each physical page once */
  size_t meshed_bytes;   /* that spans would have of their own but for meshing */
  size_t trimmed_bytes;  /* in pages of spans that were purged because no live slot touches them */
  size_t resident_bytes; /* active, dirty, metadata: what the kernel should count once all of it was touched */
  size_t mapped_bytes;   /* of address space made usable for pages */
  size_t metadata_bytes; /* taken for tables, heaps and magazines */
  size_t spans;          /* now, ... */
  size_t spans_peak;     /* ... the sum of the classes' highest, ... */
  size_t span_allocs;    /* ... and since the start */
  size_t span_frees;
  size_t lock_waits;     /* times a thread slept for a lock */
  size_t page_bytes;     /* of a page */
  size_t maps;           /* kernel mappings in the arena */
} HeapStats;

void stats_read(HeapStats *s);
/* resident_bytes without what was not touched yet of large and free blocks. Asks the system about each of their pages. */
size_t stats_resident(const HeapStats *s);

#endif
