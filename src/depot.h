/* Depot: the full magazines of each class that no thread has loaded.
 *
 * They lie on shelves, each under a lock of its own (D). A thread puts on the shelf of its shard and takes from there first:
 * slots come back to the thread that freed them, in whose processor's cache they are, and threads do not wait for each
 * other. Only when its own shelf is empty does a thread take from another's, as consumers hand on to producers. */
#ifndef MESH_DEPOT_H
#define MESH_DEPOT_H

#include "class_heap.h"
#include "lock.h"
#include "magazine.h"

/* A full magazine; `empty`, if not NULL, is left in its place. NULL, and `empty` stays the caller's, if there is none. */
Magazine *depot_take(unsigned c, Magazine *empty);
/* Leaves a full magazine. False if there is no room for it. *empty is one that somebody left, or NULL. */
bool depot_put(unsigned c, Magazine *full, Magazine **empty);
/* Takes a magazine that nobody took since the last depot_mark; NULL if there is none. */
Magazine *depot_take_unmoved(unsigned c);
void depot_mark(unsigned c);
/* Slots in the full magazines of class c. */
size_t depot_cached(unsigned c);

/* For fork and statistics: the locks in the order of their ranks. */
enum { DEPOT_LOCKS = CLASS_END * THREAD_SHARDS };
Lock *depot_lock(unsigned i);
void depot_init(void);

#endif
