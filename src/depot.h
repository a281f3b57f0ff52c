/* Depot: the full magazines that no thread has loaded.
 *
 * They lie on shelves, one for each class in each shard, under a lock of the shard (D). A thread puts on the shelves of
 * its shard and takes from there first: slots come back to the thread that freed them, in whose processor's cache they
 * are, and threads seldom wait for each other. Only where its own shelf is empty does a thread take from another's, as
 * producers take what consumers freed. */
#ifndef MESH_DEPOT_H
#define MESH_DEPOT_H

#include "class_heap.h"
#include "lock.h"
#include "magazine.h"

/* A full magazine; `empty`, if not NULL, is left in its place. NULL if there is none, and `empty` stays the
 * caller's. */
Magazine *depot_take(unsigned c, Magazine *empty);
/* Leaves a full magazine. False if there is no room for it. *empty is one that somebody left, or NULL. */
bool depot_put(unsigned c, Magazine *full, Magazine **empty);
/* Takes a magazine that nobody took since the last depot_mark; NULL if there is none. */
Magazine *depot_take_unmoved(unsigned c);
void depot_mark(unsigned c); /* also gives up empty magazines of shelves that have no full ones */
/* A hint: no class has any. */
bool depot_is_empty(void);
/* Slots in the full magazines of class c. */
size_t depot_cached(unsigned c);
/* A hint, that takes no lock: as many, or more. */
size_t depot_cached_at_most(unsigned c);

void depot_init(void);
/* For fork. */
Lock *depot_lock(unsigned shard);

#endif
