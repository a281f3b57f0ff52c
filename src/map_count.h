/* How many kernel mappings the arena's pages make: the scarce resource that meshing spends.
 *
 * A mapping ends where memory of its own (anonymous) meets memory mapped onto a file, where two neighbours are
 * not neighbours in the file, and at seams: anonymous memory that was mapped anew between two mappings of a
 * file is a mapping of its own once it was stored to, and stays one when its neighbours are anonymous again,
 * because the kernel keeps track of such pages (anon_vma) for each mapping. A seam ends when the memory on both
 * sides of it is mapped anew as one. The kernel is asked whether there is one when memory beside it is mapped anew.
 *
 * All functions but map_count_open and map_count_apart are called under the arena lock (A), and the pages of a span
 * have one frame (see MiniHeap). */
#ifndef MESH_MAP_COUNT_H
#define MESH_MAP_COUNT_H

#include "arena.h"

/* Makes the table of seams, before the first mapping. False if there is no memory for it. */
bool map_count_open(void);

/* Page of the file that a page of the arena is mapped onto; 0 if it is anonymous. */
uint32_t map_count_file_page(uint32_t page);

/* Mappings that there would be more, or less, if the span were anonymous. */
int map_count_cost_of_leaving(uint32_t page, uint32_t pages);

/* The span was mapped onto this frame; 0: it is fresh anonymous memory. */
void map_count_set_frame(uint32_t page, uint32_t pages, uint32_t frame);
/* Pages of no frame were mapped anew. */
void map_count_fresh(uint32_t page, uint32_t pages);
/* There is a seam between these pages. */
bool map_count_seamed(uint32_t page, uint32_t pages);
/* A range is a mapping apart from its neighbours, perhaps for ever. Takes the lock itself. */
void map_count_apart(void);
/* In the child of a fork: the kernel joins nothing to mappings that a process was born with. */
void map_count_forked(void);

size_t map_count(void);

#endif
